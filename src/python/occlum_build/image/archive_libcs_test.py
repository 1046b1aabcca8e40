"""Archives for another libc than the image's, and members that name none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.elf.facts import Archive, ElfFacts
from occlum_build.elf.interpreter import GLIBC_LOADER, MUSL_LOADER
from occlum_build.image.testing import (
    SHARED_OBJECT,
    Files,
    Planned,
    library,
    plan_bom,
    program,
)

BOM = "targets: [{target: /opt, copy: [{files: [a.zip]}]}]"
GLIBC: Files = {GLIBC_LOADER: SHARED_OBJECT, "/lib64/libc.so.6": library()}
MUSL: Files = {MUSL_LOADER: SHARED_OBJECT}
GLIBC_APP: Files = {**GLIBC, "ws/app": program("libc.so.6")}
MUSL_APP: Files = {**MUSL, "ws/app": program(interpreter=MUSL_LOADER)}
GLIBC_AND_MUSL_APP: Files = {**GLIBC_APP, **MUSL, "ws/two": MUSL_APP["ws/app"]}

GLIBC_WHEEL = {"x.so": library("libc.so.6", "libgone.so"), "y.so": library("libc.so.6")}
MUSL_WHEEL = {"x.so": library("libc.musl-x86_64.so.1", "libgone.so"), "own.so": library()}
OTHERS = {
    "android.so": program(interpreter="/system/bin/linker64"),
    "freebsd.so": library("libc.so.7"),
}


def plan(members: dict[str, ElfFacts], files: Files, bom: str = BOM) -> Planned:
    archive = Archive(members=tuple(sorted(members.items())))
    planned = plan_bom(bom, {**files, "ws/a.zip": archive})
    assert planned.errors == ()
    return planned


@pytest.mark.parametrize(
    ("members", "files", "its", "of_image"),
    [
        (GLIBC_WHEEL, MUSL_APP, "glibc", "musl"),
        (MUSL_WHEEL, GLIBC_APP, "musl", "glibc"),
        ({**OTHERS, **MUSL_WHEEL}, GLIBC_APP, "musl and another libc", "glibc"),
        (OTHERS, GLIBC_AND_MUSL_APP, "another libc", "glibc and musl"),
        (MUSL_WHEEL, {**GLIBC, **MUSL}, "musl", "glibc"),
        ({"bin/tool": program()}, MUSL, "glibc", "musl"),
    ],
)  # fmt: skip
def test_archive_for_another_libc_is_one_warning(
    members: dict[str, ElfFacts], files: Files, its: str, of_image: str
) -> None:
    apps = [name for name in ("app", "two") if f"ws/{name}" in files]
    planned = plan(members, files, BOM.replace("a.zip", ", ".join(["a.zip", *apps])))
    problem = planned.warning()
    assert problem.code == "archive"
    assert problem.message == (
        f"ws/a.zip: the ELF files for x86-64 in it are for {its}, "
        f"but the image's libc is {of_image}"
    )
    assert problem.place == planned.entries["opt/a.zip"].origin.place
    assert problem.hint == (
        f"take one made for {of_image}, or copy the archive with `autodep: false`"
    )


def test_archive_where_nothing_tells_of_a_libc() -> None:
    for members, libc in ((GLIBC_WHEEL, "glibc"), (MUSL_WHEEL, "musl")):
        problem = plan(members, {"/lib64/libc.so.6": library()}).warning()
        assert problem.code == "archive"
        assert problem.message == (
            f"ws/a.zip: the ELF files for x86-64 in it are for {libc}, but the image has no "
            "program, and the sysroot no loader, that tells of its libc"
        )
        assert "install that libc in the sysroot" in problem.hint


@pytest.mark.parametrize(
    "members",
    [
        {"arm.so": replace(library("libc.so"), machine="EM_AARCH64")},
        {"x32.so": replace(library("libc.so"), elf_class=32)},
        {"x.o": replace(library("libc.so"), type="ET_REL")},
        {"musl/x.so": library("libc.so"), "gnu/x.so": library("libc.so.6")},
        {"static": SHARED_OBJECT, "own.so": library()},
        {},
    ],
)
def test_archive_for_no_other_libc_is_no_warning(members: dict[str, ElfFacts]) -> None:
    assert plan(members, GLIBC).warnings == ()


def test_archive_that_is_left_alone_is_no_warning() -> None:
    bom = BOM.replace("[a.zip]", "[{name: a.zip, autodep: false}]")
    assert plan(MUSL_WHEEL, GLIBC, bom).warnings == ()


# An image with programs of both libcs; glibc does not look in /usr/local/lib.
BOTH: Files = {
    **GLIBC_AND_MUSL_APP,
    "/lib64/libg.so": library(),
    "/usr/local/lib/libm-only.so": library(),
}
BOTH_BOM = BOM.replace("[a.zip]", "[a.zip, app, two]")


def _found(members: dict[str, ElfFacts], bom: str = BOTH_BOM) -> list[str]:
    planned = plan(members, BOTH, bom)
    assert [one for one in planned.warnings if one.code != "loader"] == []
    return [path for path in planned.sources if path.endswith(("libg.so", "libm-only.so"))]


def test_member_without_libc_in_an_image_of_both_is_for_glibc() -> None:
    assert _found({"x.so": library("libg.so")}) == ["lib64/libg.so"]


def test_member_without_libc_is_for_that_of_the_other_members() -> None:
    musl = {"x.so": library("libm-only.so"), "y.so": library("libc.musl-x86_64.so.1")}
    assert _found(musl) == ["usr/local/lib/libm-only.so"]
    both = {"x.so": library("libg.so"), "y.so": library("libc.so"), "z.so": library("libc.so.6")}
    assert _found(both) == ["lib64/libg.so"]


def test_other_members_count_before_the_programs_that_need_libraries() -> None:
    only_musl = BOTH_BOM.replace(" app", " {name: app, autodep: false}")
    assert _found({"x.so": library("libm-only.so")}, only_musl) == ["usr/local/lib/libm-only.so"]
    glibc = {"x.so": library("libg.so"), "y.so": library("libc.so.6")}
    assert _found(glibc, only_musl) == ["lib64/libg.so"]
