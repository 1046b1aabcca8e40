"""The libraries of copied programs: what comes along, where it goes, and what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.elf.facts import ElfFacts, Malformed
from occlum_build.elf.interpreter import GLIBC_LOADER, MUSL_LOADER
from occlum_build.elf.loader_config import parse_loader_config
from occlum_build.errors import Report
from occlum_build.image.plan import BomSet, PlanOptions, plan_image
from occlum_build.image.testing import (
    SHARED_OBJECT,
    Files,
    TreeView,
    library,
    plan_bom,
    program,
)
from occlum_build.sources.model import SourceStat

LOADER = "/opt/glibc/lib/ld-linux-x86-64.so.2"
CONFIG = f"{LOADER} /opt/glibc/lib:/deflib"
# A sysroot with a loader config's loader and a library in one of its directories.
SYSROOT: Files = {LOADER: SHARED_OBJECT, "/deflib/liba.so": library()}
PLACED = {"lib64/ld-linux-x86-64.so.2": LOADER, "opt/glibc/lib/liba.so": "/deflib/liba.so"}
FILES = "targets: [{target: /bin, copy: [{files: [m]}]}]"
DIRS = "targets: [{target: /, copy: [{dirs: [d]}]}]"


def test_libraries_go_beside_the_loader_of_the_config() -> None:
    planned = plan_bom(FILES, {**SYSROOT, "ws/m": program("liba.so")}, config=CONFIG)
    assert planned.sources == {"bin/m": "ws/m", **PLACED}
    assert planned.warnings == ()
    chain = planned.entries["opt/glibc/lib/liba.so"].origin.chain
    assert chain == ("ws/m", "/deflib/liba.so", "liba.so found by loader config")


@pytest.mark.parametrize(
    "config",
    [
        f"{LOADER}\t /opt/glibc/lib:/deflib ",
        f"\n  {LOADER}   /opt/glibc/lib::/deflib\n\n",
        f"/opt//glibc/./lib/x/..{LOADER[14:]} /opt/glibc/lib/:/x/../deflib//",
    ],
)
def test_config_of_any_white_space_and_spelling(config: str) -> None:
    planned = plan_bom(FILES, {**SYSROOT, "ws/m": program("liba.so")}, config=config)
    assert planned.sources == {"bin/m": "ws/m", **PLACED}


@pytest.mark.parametrize("interpreter", [GLIBC_LOADER, MUSL_LOADER])
def test_missing_library_of_a_file(interpreter: str) -> None:
    files: Files = {
        **SYSROOT,
        MUSL_LOADER: SHARED_OBJECT,
        "ws/m": program("liba.so", interpreter=interpreter),
        "/deflib/liba.so": library("libgone.so"),
    }
    config = f"{CONFIG}\n{MUSL_LOADER} /deflib"
    planned = plan_bom(FILES, files, config=config)
    assert planned.exit_code == 248
    error = planned.error()
    assert error.place is not None
    assert error.place.line == 1
    assert "library libgone.so is missing" in error.message
    assert "needed by: ws/m -> /deflib/liba.so" in error.message
    assert "  1. " in error.message
    assert "/deflib/libgone.so" in error.message
    assert "bin/m" in planned.sources


def test_missing_library_of_a_directory_is_a_warning() -> None:
    files = {**SYSROOT, "ws/d/m": program("libgone.so", "liba.so")}
    planned = plan_bom(DIRS, files, config=CONFIG)
    assert planned.exit_code == 0
    assert "library libgone.so is missing" in planned.warning().message
    assert planned.sources == {"d/m": "ws/d/m", **PLACED}


def test_missing_libraries_may_be_allowed_by_name() -> None:
    files = {**SYSROOT, "ws/m": program("libgone.so", "libother.so")}
    options = PlanOptions(allow_missing=("libgone.so",))
    planned = plan_bom(FILES, files, config=CONFIG, options=options)
    assert "libother.so" in planned.error().message


def test_file_of_the_name_elsewhere_in_the_image_is_a_hint() -> None:
    bom = FILES.replace("files: [m]", "files: [m, {name: x, rename: ../etc/libgone.so}]")
    files = {**SYSROOT, "ws/m": program("libgone.so"), "ws/x": b""}
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.exit_code == 248
    assert "/etc/libgone.so" in planned.error().hint


def test_library_that_the_bom_places_is_not_missing() -> None:
    bom = FILES.replace("[{files: [m]}]", "[{files: [m, {name: x, rename: /../lib/libx.so}]}]")
    bom = bom.replace("/../lib", "../opt/glibc/lib")
    files = {**SYSROOT, "ws/m": program("libx.so", "liba.so"), "ws/x": library()}
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.errors == ()
    assert planned.sources["opt/glibc/lib/libx.so"] == "ws/x"
    assert planned.sources["opt/glibc/lib/liba.so"] == "/deflib/liba.so"


def test_loader_of_the_config_wins() -> None:
    """Also where the program names another loader of that base name, which exists."""
    files = {**SYSROOT, GLIBC_LOADER: SHARED_OBJECT, "ws/m": program("liba.so")}
    planned = plan_bom(FILES, files, config=CONFIG)
    assert planned.sources["lib64/ld-linux-x86-64.so.2"] == LOADER


def test_two_spellings_of_the_interpreter() -> None:
    bom = FILES.replace("[m]", "[m, n, liba.so]")
    files = {
        **SYSROOT,
        "ws/m": program("libb.so"),
        "ws/n": program("libb.so", interpreter="/lib/ld-linux-x86-64.so.2"),
        "ws/liba.so": library("libb.so"),
        "/deflib/libb.so": library(),
    }
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.errors == ()
    assert planned.sources["lib64/ld-linux-x86-64.so.2"] == LOADER
    assert planned.sources["lib/ld-linux-x86-64.so.2"] == LOADER
    assert planned.sources["opt/glibc/lib/libb.so"] == "/deflib/libb.so"


def test_missing_interpreter_in_a_directory_is_a_warning() -> None:
    files = {**SYSROOT, "ws/d/m": program(interpreter="/gone/ld.so"), "ws/d/n": program("liba.so")}
    planned = plan_bom(DIRS, files, config=CONFIG)
    assert planned.exit_code == 0
    assert "needs the loader /gone/ld.so, which does not exist" in planned.warning().message
    assert planned.sources.keys() == {"d/m", "d/n", *PLACED}


def test_missing_interpreter_of_a_file() -> None:
    files = {**SYSROOT, "ws/m": program(interpreter="/gone/ld.so")}
    planned = plan_bom(FILES, files, config=CONFIG)
    assert planned.exit_code == 248
    assert "ws/m" in planned.error().message
    assert "/gone/ld.so" in planned.error().message


def test_one_problem_for_all_that_lack_a_loader_and_none_of_their_libraries() -> None:
    lacking = program("libgone.so", interpreter="/gone/ld.so")
    files = {**SYSROOT, "ws/m": lacking, "ws/n": lacking}
    error = plan_bom(FILES.replace("[m]", "[m, n]"), files, config=CONFIG).error()
    assert error.message == (
        "2 files, ws/m among them, each needs the loader /gone/ld.so, which does not exist"
    )
    planned = plan_bom(FILES, files)  # without a loader config it is nobody's own loader
    assert [one.code for one in (*planned.errors, *planned.warnings)] == ["libraries"]


def test_a_lacking_loader_of_the_loader_config() -> None:
    files = {"ws/m": program("liba.so")}
    error = plan_bom(FILES, files, config=CONFIG).error()
    assert error.message == (
        f"ws/m needs the loader {LOADER}, which the loader config names for {GLIBC_LOADER} and "
        "which does not exist"
    )


ARM = replace(program("libc.so.6", interpreter="/lib/ld-linux-aarch64.so.1"), machine="EM_AARCH64")
STATIC_ARM = ElfFacts("ET_EXEC", "EM_AARCH64", 64)


@pytest.mark.parametrize("facts", [ARM, STATIC_ARM, replace(ARM, interpreter=None)])
def test_a_program_for_another_machine(facts: ElfFacts) -> None:
    error = plan_bom(FILES, {**SYSROOT, "ws/m": facts}, config=CONFIG).error()
    assert (error.code, error.message) == (
        "program",
        "ws/m is for aarch64 (EM_AARCH64), not x86-64",
    )
    assert error.place is not None and error.hint
    files = {**SYSROOT, "ws/d/m": facts, "ws/d/n": facts}
    planned = plan_bom(DIRS, files, config=CONFIG)
    assert planned.errors == ()
    assert planned.warning().message.startswith("2 files, ws/d/m among them, each is for aarch64")


def test_data_of_another_machine() -> None:
    def keep(_: str, stat: SourceStat) -> int:
        return stat.mode & ~0o111

    files: Files = {"ws/m": STATIC_ARM}
    assert plan_bom(FILES, files, options=PlanOptions(mode=keep)).errors == ()
    for facts in (replace(STATIC_ARM, type="ET_REL"), replace(SHARED_OBJECT, machine="EM_BPF")):
        assert plan_bom(FILES, {"ws/m": facts}).errors == ()


def test_only_what_the_copies_bring_is_analysed() -> None:
    """A program with `autodep: false` in a directory's place is left alone."""
    bom = "targets: [{target: /, copy: [{dirs: [d/], files: [{name: m, autodep: false}]}]}]"
    files = {**SYSROOT, "ws/d/x": b"", "ws/m": program("libgone.so")}
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.warnings == ()
    assert planned.sources == {"x": "ws/d/x", "m": "ws/m"}


@pytest.mark.parametrize("rename", ["../opt/glibc/lib/liba.so", "../opt/./x/../glibc//lib/liba.so"])
@pytest.mark.parametrize("copies", ["files: [m], dirs: [d]", "dirs: [d/]"])
def test_file_of_the_user_beats_a_library_that_is_found(copies: str, rename: str) -> None:
    named = f"{{files: [{{name: own, rename: {rename}}}]}}"
    bom = f"targets: [{{target: /bin, copy: [{named}, {{{copies}}}]}}]"
    found = {"ws/m": program("liba.so"), "ws/d/m": program("liba.so"), "ws/own": library()}
    planned = plan_bom(bom, {**SYSROOT, **found}, config=CONFIG)
    assert planned.errors == ()
    assert planned.sources["opt/glibc/lib/liba.so"] == "ws/own"


def test_needed_with_an_absolute_path() -> None:
    files = {**SYSROOT, "ws/m": program("/else/libx.so"), "/else/libx.so": library()}
    planned = plan_bom(FILES, files, config=CONFIG)
    assert planned.sources["else/libx.so"] == "/else/libx.so"


def test_needed_with_a_relative_path() -> None:
    files = {**SYSROOT, "ws/m": program("sub/libx.so"), "ws/sub/libx.so": library()}
    planned = plan_bom(FILES, files, config=CONFIG)
    assert planned.exit_code == 248
    assert "depends on the working directory" in planned.error().hint


@pytest.mark.parametrize("tag", ["rpath", "runpath"])
def test_relative_search_directory_is_not_followed(tag: str) -> None:
    main = program("libx.so")
    main = replace(main, rpath=("sub",)) if tag == "rpath" else replace(main, runpath=("sub",))
    planned = plan_bom(FILES, {**SYSROOT, "ws/m": main, "ws/sub/libx.so": library()}, config=CONFIG)
    assert planned.exit_code == 248
    assert "library libx.so is missing" in planned.error().message
    assert "$ORIGIN" in planned.error().hint


def test_malformed_file_is_data_with_a_warning() -> None:
    planned = plan_bom(FILES, {**SYSROOT, "ws/m": Malformed("bad class")}, config=CONFIG)
    assert planned.sources == {"bin/m": "ws/m"}
    assert planned.warning().message == "ws/m looks like an ELF file but is none: bad class"


def test_scripts_and_static_programs_need_nothing() -> None:
    bom = FILES.replace("[m]", "[m, s]")
    files = {**SYSROOT, "ws/m": program(interpreter=None), "ws/s": b"#!/bin/sh\n"}
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.sources == {"bin/m": "ws/m", "bin/s": "ws/s"}
    assert planned.warnings == ()


def test_two_libraries_that_claim_one_path() -> None:
    bom = FILES.replace("[m]", "[m, n]")
    files = {
        **SYSROOT,
        "ws/m": program("liba.so"),
        "ws/n": replace(program("liba.so"), rpath=("/other",)),
        "/other/liba.so": library("libc.so.6"),
        "/deflib/libc.so.6": library(),
    }
    planned = plan_bom(bom, files, config=f"{CONFIG}:/other")
    assert planned.exit_code == 248
    told = planned.error().message.splitlines()
    assert told[0] == "two different libraries claim /opt/glibc/lib/liba.so:"
    assert [line.split(" -> ")[0] for line in told[1:]] == ["  ws/m", "  ws/n"]

    files["/other/liba.so"] = library()  # the same bytes as in /deflib
    assert plan_bom(bom, files, config=f"{CONFIG}:/other").errors == ()


def test_shared_objects_alone_get_the_loader_of_their_libc() -> None:
    bom = FILES.replace("[m]", "[p.so]")
    files = {**SYSROOT, "ws/p.so": library("libc.so.6", "liba.so"), "/deflib/libc.so.6": library()}
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.sources == {
        "bin/p.so": "ws/p.so",
        "opt/glibc/lib/liba.so": "/deflib/liba.so",
        "opt/glibc/lib/libc.so.6": "/deflib/libc.so.6",
    }


def test_plugin_of_programs_that_are_left_alone() -> None:
    bom = FILES.replace("[m]", "[{name: m, autodep: false}, p.so]")
    files = {**SYSROOT, "ws/m": program("libgone.so"), "ws/p.so": library("libgone.so")}
    planned = plan_bom(bom, files, config=CONFIG)
    assert planned.errors == ()
    assert planned.sources == {"bin/m": "ws/m", "bin/p.so": "ws/p.so"}


def test_library_cannot_take_the_place_of_a_directory() -> None:
    bom = FILES.replace("copy:", "mkdirs: [../opt/glibc/lib/liba.so], copy:")
    planned = plan_bom(bom, {**SYSROOT, "ws/m": program("liba.so")}, config=CONFIG)
    assert planned.exit_code == 254
    assert "the file /opt/glibc/lib/liba.so cannot take the place" in planned.error().message


def test_libraries_go_through_links_in_the_image() -> None:
    bom = FILES.replace("copy:", "createlinks: [{src: /real, linkname: ../opt}], copy:")
    planned = plan_bom(bom, {**SYSROOT, "ws/m": program("liba.so")}, config=CONFIG)
    assert planned.sources["real/glibc/lib/liba.so"] == "/deflib/liba.so"


def test_without_a_config_the_machines_own_loader_is_told() -> None:
    files = {GLIBC_LOADER: SHARED_OBJECT, "/lib64/liba.so": library(), "ws/m": program("liba.so")}
    planned = plan_bom(FILES, files)
    assert planned.sources == {
        "bin/m": "ws/m",
        "lib64/ld-linux-x86-64.so.2": GLIBC_LOADER,
        "lib64/liba.so": "/lib64/liba.so",
    }
    assert [one.code for one in planned.warnings] == ["loader"]


@pytest.mark.parametrize(("first", "last"), [("false", "true"), ("true", "false")])
def test_of_copies_to_one_path_the_last_says_whether_it_is_left_alone(
    first: str, last: str
) -> None:
    sources = TreeView({**SYSROOT, "ws/m": program("liba.so")})
    sets = []
    for autodep in (first, last):
        bom = f"targets: [{{target: /, copy: [{{files: [{{name: m, autodep: {autodep}}}]}}]}}]"
        sources.entries["BOM"] = bom.encode()
        boms = load_boms("BOM", (), {}, reader_of(sources), Report())
        sets.append(BomSet(boms, "ws", {}, parse_loader_config(CONFIG, "config")))
    searched = plan_image(sets, PlanOptions(), sources, Report()).searched
    is_asked = last == "true"
    assert ("/m" in searched.required, "/m" in searched.left_alone) == (is_asked, not is_asked)


def test_a_file_that_is_no_loader_is_an_error_wherever_its_programs_come_from() -> None:
    """A path in a program may name any file of the host, as a key."""
    hostile = program(interpreter="/keys/release.pem")
    files: Files = {
        "/keys/release.pem": b"secret",
        **{f"ws/d/{n}": hostile for n in "ab"},
        "ws/m": hostile,
    }
    for bom, who in (
        (DIRS, "2 files, ws/d/a among them, each needs"),
        (FILES, "ws/m needs"),
    ):
        planned = plan_bom(bom, files)
        error = planned.error()
        assert error.code == "libraries"
        assert error.message == f"{who} the loader /keys/release.pem, which is no ELF file"
        assert "/keys/release.pem" not in planned.sources.values()
