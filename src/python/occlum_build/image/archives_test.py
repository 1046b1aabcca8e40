"""The libraries of what zip archives hold: what comes along, and what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.elf.facts import Archive, ElfFacts, outcome_from_json, outcome_to_json
from occlum_build.elf.interpreter import GLIBC_LOADER, MUSL_LOADER
from occlum_build.errors import WARNING, Problem
from occlum_build.image.plan import PlanOptions
from occlum_build.image.testing import (
    SHARED_OBJECT,
    Files,
    Planned,
    TreeView,
    library,
    plan_bom,
    program,
)
from occlum_build.sources.model import FILE, SourceStat
from occlum_build.sources.recorded import RecordedSources

BOM = "targets: [{target: /opt, copy: [{files: [a.zip]}]}]"
GLIBC: Files = {GLIBC_LOADER: SHARED_OBJECT, "/lib64/libc.so.6": library()}
MUSL: Files = {MUSL_LOADER: SHARED_OBJECT}
APP = {"ws/app": program("libc.so.6")}


def zip_of(members: dict[str, ElfFacts], **fields: object) -> Archive:
    return replace(Archive(members=tuple(sorted(members.items()))), **fields)  # type: ignore[arg-type]


def plan(archive: Archive, files: Files, bom: str = BOM, **options: object) -> Planned:
    planned = plan_bom(
        bom,
        {**GLIBC, "ws/a.zip": archive, **files},
        options=PlanOptions(**options),  # type: ignore[arg-type]
    )
    assert planned.errors == ()
    return planned


def libraries(planned: Planned) -> dict[str, str]:
    return {path: source for path, source in planned.sources.items() if path.startswith("lib")}


def test_library_of_a_member_comes_along() -> None:
    members = {"pkg/x.so": library("liba.so"), "pkg/y.so": library("liba.so")}
    files = {"/lib64/liba.so": library("libb.so"), "/lib64/libb.so": library()}
    planned = plan(zip_of(members), files)
    assert planned.sources == {
        "opt/a.zip": "ws/a.zip",
        "lib64/liba.so": "/lib64/liba.so",
        "lib64/libb.so": "/lib64/libb.so",
    }
    assert planned.warnings == ()
    chain = planned.entries["lib64/libb.so"].origin.chain
    assert chain == (
        "ws/a.zip/pkg/x.so",
        "/lib64/liba.so",
        "/lib64/libb.so",
        "libb.so found by default directory",
    )


def test_member_with_an_interpreter_brings_it() -> None:
    planned = plan(zip_of({"bin/tool": program()}), {})
    assert libraries(planned) == {"lib64/ld-linux-x86-64.so.2": GLIBC_LOADER}
    assert [one.code for one in planned.warnings] == ["loader"]


def test_libraries_go_beside_the_loader_of_the_config() -> None:
    files = {
        **GLIBC,
        "ws/a.zip": zip_of({"x.so": library("liba.so")}),
        "/deflib/liba.so": library(),
    }
    loader = "/opt/glibc/lib/ld-linux-x86-64.so.2"
    planned = plan_bom(BOM, {**files, loader: SHARED_OBJECT}, config=f"{loader} /deflib")
    assert planned.sources["opt/glibc/lib/liba.so"] == "/deflib/liba.so"


def test_wheel_with_its_own_libraries() -> None:
    """As numpy's: the RPATH of the extension counts for what its libraries need, too."""
    members = {
        "foo/_x.so": replace(library("libq-1.so"), rpath=("$ORIGIN/../foo.libs",)),
        "foo.libs/libq-1.so": library("libr-1.so", "libhost.so"),
        "foo.libs/libr-1.so": library(),
    }
    files = {"/lib64/libhost.so": library(), "/lib64/libr-1.so": library()}
    planned = plan(zip_of(members), {"/lib64/libhost.so": library()})
    assert planned.warnings == ()
    assert libraries(planned) == {"lib64/libhost.so": "/lib64/libhost.so"}
    # Only by itself, without who loads it, the library would need the host's.
    assert libraries(plan(zip_of(members), files)).keys() == {"lib64/libhost.so", "lib64/libr-1.so"}


@pytest.mark.parametrize("provider", ["z/libq.so", "z/other.so"])
def test_library_of_another_member_counts_as_found(provider: str) -> None:
    members = {"x.so": library("libq.so"), provider: replace(library(), soname="libq.so")}
    assert plan(zip_of(members), {}).warnings == ()
    arm = {"x.so": library("libq.so"), provider: replace(library(), machine="EM_AARCH64")}
    assert "libq.so is missing" in plan(zip_of(arm), {}).warning().message


def test_library_of_an_archive_beside_it_counts_as_found() -> None:
    """As the wheels in a packed pex."""
    bom = "targets: [{target: /, copy: [{dirs: [d]}]}]"
    files: Files = {
        "ws/d/deps/a.whl": zip_of({"x.so": library("libq.so")}),
        "ws/d/deps/b.whl": zip_of({"q/libq.so": library()}),
        "ws/d/else/c.whl": zip_of({"x.so": library("libq.so")}),
    }
    assert plan_bom(bom, {**GLIBC, **files}).warning().message.startswith("ws/d/else/c.whl: ")


def test_missing_library_is_one_warning_that_counts_who_needs_it() -> None:
    members = {
        "x.so": library("libgone.so"),
        "y.so": library("libgone.so", "liba.so"),
        "z.so": library("liba.so", "libtoo.so"),
    }
    planned = plan(zip_of(members), {"/lib64/liba.so": library()})
    gone, too = planned.warnings
    assert (gone.code, too.code) == ("libraries", "libraries")
    assert gone.place is not None
    assert gone.place.line == 1
    lines = gone.message.splitlines()
    assert lines[:3] == [
        "ws/a.zip: library libgone.so is missing, which 2 ELF files in it need",
        "  needed by: ws/a.zip/x.so",
        "  searched:",
    ]
    assert any("/lib64/libgone.so" in line for line in lines[3:])
    assert "copy the archive with `autodep: false`" in gone.hint
    assert "libtoo.so is missing, which an ELF file in it needs\n" in too.message
    assert libraries(planned) == {"lib64/liba.so": "/lib64/liba.so"}


def test_library_that_a_found_one_lacks() -> None:
    members = {"x.so": library("liba.so"), "y.so": library("liba.so")}
    message = plan(zip_of(members), {"/lib64/liba.so": library("libgone.so")}).warning().message
    assert "libgone.so is missing, which 2 ELF files in it need" in message
    assert "needed by: ws/a.zip/x.so -> /lib64/liba.so" in message


def test_missing_libraries_may_be_allowed_by_name() -> None:
    members = {"x.so": library("libgone.so", "libtoo.so")}
    planned = plan(zip_of(members), {}, allow_missing=("libgone.so",))
    assert "libtoo.so" in planned.warning().message


def test_autodep_switches_everything_off() -> None:
    bom = BOM.replace("[a.zip]", "[{name: a.zip, autodep: false}]")
    archive = zip_of(
        {"x.so": library("libgone.so", "liba.so")}, interpreter="/gone", problems=("it is bad",)
    )
    planned = plan(archive, {"/lib64/liba.so": library()}, bom)
    assert planned.warnings == ()
    assert planned.sources == {"opt/a.zip": "ws/a.zip"}


def test_library_that_the_bom_places_is_not_missing() -> None:
    bom = BOM.replace("[a.zip]", "[a.zip, {name: own, rename: ../lib64/libq.so}]")
    planned = plan(zip_of({"x.so": library("libq.so")}), {"ws/own": library()}, bom)
    assert planned.warnings == ()
    assert planned.sources["lib64/libq.so"] == "ws/own"


# A jar with libraries for several platforms, all of them of x86-64 but one.
PLATFORMS = {
    "linux-arm/x.so": replace(library("libarm.so"), machine="EM_ARM", elf_class=32),
    "linux-x32/x.so": replace(library("libx32.so"), elf_class=32),
    "linux-gnu/x.so": library("libc.so.6", "libg.so"),
    "linux-musl/x.so": library("libc.musl-x86_64.so.1", "libown.so"),
    "android/x.so": replace(library("liblog.so"), interpreter="/system/bin/linker64"),
    "freebsd/x.so": library("libc.so.7", "libbsd.so"),
    "object/x.o": replace(library("libobj.so"), type="ET_REL"),
}


def _told(planned: Planned) -> list[str]:
    messages = [one.message for one in planned.warnings if one.code == "libraries"]
    return [message.split()[2] for message in messages]


def test_members_for_other_platforms_are_passed_over() -> None:
    bom = BOM.replace("[a.zip]", "[a.zip, app]")
    assert _told(plan(zip_of(PLATFORMS), APP, bom)) == ["libg.so"]
    musl = {**MUSL, "ws/app": program(interpreter=MUSL_LOADER)}
    assert _told(plan(zip_of(PLATFORMS), musl, bom)) == ["libown.so"]


def test_without_a_program_glibc_counts_where_the_sysroot_has_it() -> None:
    assert _told(plan(zip_of(PLATFORMS), MUSL)) == ["libg.so"]
    only_musl = plan_bom(BOM, {**MUSL, "ws/a.zip": zip_of(PLATFORMS)})
    assert _told(only_musl) == ["libown.so"]


def test_libc_is_that_of_programs_of_other_boms() -> None:
    include = {"ws/app": program(interpreter=MUSL_LOADER), **MUSL}
    bom = "includes: [two.yaml]\n" + BOM
    two = b"targets: [{target: /bin, copy: [{files: [app]}]}]"
    assert _told(plan(zip_of(PLATFORMS), {**include, "two.yaml": two}, bom)) == ["libown.so"]


def test_plugins_in_an_archive_of_programs_that_are_left_alone() -> None:
    bom = BOM.replace("[a.zip]", "[a.zip, {name: app, autodep: false}]")
    assert _told(plan(zip_of({"x.so": library("libg.so")}), APP, bom)) == []


def test_what_cannot_be_read_is_a_warning() -> None:
    planned = plan(zip_of({}, problems=("it cannot be read: it is damaged",)), {})
    assert planned.warning() == Problem(
        "archive",
        "ws/a.zip looks like a zip archive, but it cannot be read: it is damaged",
        planned.entries["opt/a.zip"].origin.place,
        severity=WARNING,
    )


INTERPRETERS = {
    "/usr/bin/env python3": "the image has no program /usr/bin/env",
    "/opt/a.zip": "the image has no program /opt/a.zip",  # not executable
    "python3": "the image has no program python3",
    "/bin/gone -x": "the image has no program /bin/gone",
    "/bin/env python4 -I": "no program python4 in /usr/local/bin, /usr/bin or /bin",
    "/bin/env -S A=b python4": "no program python4 in",
    "/bin/env /opt/python4": "the image has no program /opt/python4",
    "/bin/loop": "the image has no program /bin/loop",
    "/bin/env python3 -I": "",
    "/bin/env -S X=1 python3": "",
    "/bin/env": "",
    "/usr/local/bin/python3": "",
    "/lib/../bin/python": "",
    "": "",
}


@pytest.mark.parametrize("line", INTERPRETERS)
def test_interpreter_that_the_image_lacks(line: str) -> None:
    links = "createlinks: [{src: /usr/local/bin/python3, linkname: ../bin/python}, "
    links += "{src: loop, linkname: ../bin/loop}]"
    named = "a.zip, {name: app, rename: ../bin/env}, {name: app, rename: ../usr/local/bin/python3}"
    bom = f"targets: [{{target: /opt, {links}, copy: [{{files: [{named}]}}]}}]"
    planned = plan(zip_of({}, interpreter=line), APP, bom)
    told = [one for one in planned.warnings if one.code == "interpreter"]
    if not INTERPRETERS[line]:
        assert told == []
        return
    (problem,) = told
    assert problem.message.startswith(f"/opt/a.zip starts with `#!{line}`, but ")
    assert INTERPRETERS[line] in problem.message
    assert problem.place == planned.entries["opt/a.zip"].origin.place
    assert "copy the interpreter into the image by the BOM" in problem.hint
    assert "start /opt/a.zip as an argument" in problem.hint


def test_recorded_facts_lead_to_the_same() -> None:
    archive = zip_of(PLATFORMS, interpreter="/bin/sh", problems=("bad",))
    stat = SourceStat(FILE, 0o644, 100, "", "1" * 64)
    recorded = RecordedSources(
        {"ws/a.zip": stat}, {}, {stat.sha256: outcome_from_json(outcome_to_json(archive))}, {}
    )
    view = TreeView({"ws/a.zip": archive, "ws/m": library()})
    assert recorded.archive("ws/a.zip") == view.archive("ws/a.zip") == archive
    assert recorded.facts("ws/a.zip") is None
    assert recorded.malformed("ws/a.zip") == ""
    assert view.archive("ws/m") is None
