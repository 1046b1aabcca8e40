"""What is told of libraries that are not found, and of those that the image has elsewhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.elf.facts import Archive
from occlum_build.elf.interpreter import GLIBC_LOADER, MUSL_LOADER
from occlum_build.errors import NOTE, WARNING
from occlum_build.image.plan import PlanOptions
from occlum_build.image.testing import (
    SHARED_OBJECT,
    Files,
    OldImage,
    library,
    plan_bom,
    program,
)

LOADER = "/opt/glibc/lib/ld-linux-x86-64.so.2"
CONFIG = f"{LOADER} /opt/glibc/lib"
SYSTEM: Files = {LOADER: SHARED_OBJECT}
FILES = "targets: [{target: /bin, copy: [{files: [m]}]}]"
LAYOUT = f"{FILES[:-1]}, {{target: /opt/my, copy: [{{dirs: [lib]}}]}}]"
DIRS = "targets: [{target: /, copy: [{dirs: [d]}]}]"


@pytest.mark.parametrize("interpreter", [GLIBC_LOADER, MUSL_LOADER])
def test_a_library_that_the_image_has_elsewhere_is_a_warning(interpreter: str) -> None:
    files = {
        **SYSTEM,
        MUSL_LOADER: SHARED_OBJECT,
        "ws/m": program("libx.so.1", interpreter=interpreter),
        "ws/lib/libx.so.1": "-> libx.so.1.0",
        "ws/lib/libx.so.1.0": library(),
    }
    planned = plan_bom(LAYOUT, files, config=f"{CONFIG}\n{MUSL_LOADER} /none")
    assert planned.errors == ()
    found = planned.warning()
    assert (found.code, found.severity) == ("library-elsewhere", WARNING)
    assert found.place is not None and found.place.column == FILES.index("m]") + 1
    assert found.message == (
        "library libx.so.1, needed by ws/m, is in the image at /opt/my/lib/libx.so.1, where the "
        "loader does not look"
    )
    assert "LD_LIBRARY_PATH=/opt/my/lib (in `env.default`" in found.hint
    assert "`autodep: false`" in found.hint


@pytest.mark.parametrize(
    "what", [b"INPUT(x)", replace(library(), machine="EM_AARCH64"), "-> gone", "-> libx.so.1"]
)
def test_what_is_no_library_for_the_machine_is_not_found_elsewhere(what: object) -> None:
    files: Files = {**SYSTEM, "ws/m": program("libx.so.1"), "ws/lib/libx.so.1": what}  # type: ignore[dict-item]
    planned = plan_bom(LAYOUT, files, config=CONFIG)
    assert planned.exit_code == 248
    assert "/opt/my/lib/libx.so.1" in planned.error().hint


def test_a_loop_of_links_where_a_cache_would_be() -> None:
    bom = FILES.replace("copy:", "createlinks: [{src: etc, linkname: ../etc}], copy:")
    files: Files = {GLIBC_LOADER: SHARED_OBJECT, "ws/m": program()}
    planned = plan_bom(bom, {**files, "/etc/ld.so.conf": b"/usr/local/lib\n"})
    assert planned.errors == ()


def test_files_that_lie_side_by_side() -> None:
    """With a RUNPATH of the machine that built them."""
    bom = "targets: [{target: /app, copy: [{files: [a.so, b.so]}]}]"
    a = replace(library("b.so", "libc.so.6"), runpath=("/build/lib",))
    files = {**SYSTEM, "ws/a.so": a, "ws/b.so": library(), "/opt/glibc/lib/libc.so.6": library()}
    found = plan_bom(bom, files, config=CONFIG).warning()
    assert (found.code, found.severity) == ("library-elsewhere", WARNING)


def test_plugins_of_a_directory_that_has_the_library_are_a_note() -> None:
    files: Files = {
        **SYSTEM,
        "ws/d/lib/server/libjvm.so": library(),
        **{f"ws/d/lib/lib{n}.so": library("libjvm.so") for n in range(27)},
    }
    found = plan_bom(DIRS, files, config=CONFIG).warning()
    assert (found.code, found.severity) == ("library-elsewhere", NOTE)
    assert found.message == (
        "library libjvm.so, needed by 27 files below ws/d/lib, is in the image at "
        "/d/lib/server/libjvm.so, where the loader does not look"
    )
    assert found.hint.startswith("fine if who loads them has loaded libjvm.so before")
    # A program of the directory will not start.
    program_too = {**files, "ws/d/bin/java": program("libjvm.so")}
    assert plan_bom(DIRS, program_too, config=CONFIG).warning().severity == WARNING


def test_an_absent_library_is_told_once() -> None:
    files: Files = {
        **SYSTEM,
        **{f"ws/d/lib{n}.so": library("libgone.so") for n in range(3)},
        "ws/d/m": program("libgone.so", "libtoo.so"),
    }
    gone, too = plan_bom(DIRS, files, config=CONFIG).warnings
    assert gone.message.splitlines()[:3] == [
        "ws/d/lib0.so: library libgone.so is missing",
        "  needed by: ws/d/lib0.so",
        "  as well as by 3 files below ws/d",
    ]
    assert gone.message.count("searched:") == 1
    assert too.message.startswith("ws/d/m: library libtoo.so is missing\n  needed by: ws/d/m\n  s")


def test_an_absent_library_of_a_file_and_a_directory_is_one_error_of_the_file() -> None:
    bom = f"{DIRS[:-1]}, {FILES[FILES.index('{') :]}"
    files = {**SYSTEM, "ws/d/a.so": library("libgone.so"), "ws/m": program("libgone.so")}
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.error().message.startswith("ws/m: library libgone.so is missing")
    assert "as well as by ws/d/a.so" in planned.error().message
    assert planned.warnings == ()


def test_a_library_that_another_program_brings_is_missing() -> None:
    """It is in the image for that program, and not because somebody wants it there."""
    bom = FILES.replace("[m]", "[m, n]")
    files = {
        **SYSTEM,
        "ws/m": program("libx.so"),
        "ws/n": replace(program("libx.so"), rpath=("/far",)),
        "/far/libx.so": library(),
    }
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.exit_code == 248
    assert "the image has /far/libx.so, where the loader does not look" in planned.error().hint


def test_a_library_that_the_image_had_before_is_elsewhere() -> None:
    files = {**SYSTEM, "ws/m": program("libx.so"), "old/opt/libx.so": library()}
    base = OldImage({"opt": None, "opt/libx.so": ""})
    planned = plan_bom(FILES, files, config=CONFIG, options=PlanOptions(base=base))
    assert "is in the image at /opt/libx.so" in planned.warning().message


def test_a_library_of_the_system_where_the_loader_of_the_config_does_not_look() -> None:
    files: Files = {
        **SYSTEM,
        "ws/m": program("libx.so"),
        "/etc/ld.so.conf": b"/usr/local/lib\n",
        "/usr/local/lib/libx.so": library(),
    }
    planned = plan_bom(FILES, files, config=CONFIG)
    assert planned.exit_code == 248
    hint = planned.error().hint
    assert "the system has it at /usr/local/lib/libx.so, where the loader of the loader" in hint
    assert "copy it to /opt/glibc/lib by `files`" in hint


def test_two_libraries_for_one_default_directory() -> None:
    """One by the system's configuration, the other by a RUNPATH."""
    bom = FILES.replace("[m]", "[m, n]")
    files: Files = {
        GLIBC_LOADER: SHARED_OBJECT,
        "ws/m": program("libx.so"),
        "ws/n": replace(program("libx.so"), runpath=("/lib64",)),
        "/etc/ld.so.conf": b"/usr/local/lib\n",
        "/usr/local/lib/libx.so": library("libc.so.6"),
        "/lib64/libx.so": library(),
        "/lib64/libc.so.6": library(),
    }
    error = plan_bom(bom, files).error()
    assert error.message.startswith("two different libraries claim /lib64/libx.so:")
    assert "RUNPATH" in error.hint


def test_members_of_an_archive_that_need_what_the_image_has_elsewhere_are_a_note() -> None:
    bom = LAYOUT.replace("[m]", "[a.jar]")
    jar = Archive(members=(("x.so", library("libx.so.1")), ("y.so", library("libx.so.1"))))
    files: Files = {**SYSTEM, "ws/a.jar": jar, "ws/lib/libx.so.1": library()}
    found = plan_bom(bom, files, config=CONFIG).warning()
    assert (found.code, found.severity) == ("library-elsewhere", NOTE)
    assert "needed by 2 files below ws/a.jar" in found.message


def test_versions_that_a_library_lacks_are_one_warning_of_a_directory() -> None:
    needs = replace(library("libc.so.6"), version_needs=(("libc.so.6", ("GLIBC_2.36",)),))
    more = replace(needs, version_needs=(("libc.so.6", ("GLIBC_2.36", "GLIBC_2.38")),))
    files: Files = {
        **SYSTEM,
        "/opt/glibc/lib/libc.so.6": replace(library(), version_defs=("GLIBC_2.2.5",)),
        "ws/d/a.so": needs,
        "ws/d/b.so": more,
    }
    found = plan_bom(DIRS, files, config=CONFIG).warning()
    assert (found.code, found.severity) == ("library-version", WARNING)
    assert found.message == (
        "/opt/glibc/lib/libc.so.6 lacks GLIBC_2.36, GLIBC_2.38, needed by 2 files below ws/d"
    )
