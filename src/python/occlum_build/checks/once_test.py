"""What is wrong with an image is told once, by whichever of its checks: plan, image, enclave."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.checks.enclave import check_enclave
from occlum_build.checks.image import check_image
from occlum_build.checks.root import Root
from occlum_build.elf.facts import Archive, ElfFacts
from occlum_build.elf.interpreter import MUSL_LOADER
from occlum_build.elf.loader_config import parse_loader_config
from occlum_build.errors import ERROR, NOTE, WARNING, Problem, Report
from occlum_build.image.plan import BomSet, PlanOptions, plan_image
from occlum_build.image.testing import Files, TreeView, library, program
from occlum_build.sgx.config import check, default_config, merge, parse_json
from occlum_build.sources.model import SourceStat

SYSTEM: Files = {MUSL_LOADER: library(), "/usr/lib/liba.so": library()}
CONFIG = f"{MUSL_LOADER} /usr/lib"
MUSL = program(interpreter=MUSL_LOADER)
NO_LOADER = program("libgone.so", interpreter="/lib/ld-gone.so")
GLIBC = program(interpreter="/lib64/ld-linux-x86-64.so.2")
ARM = replace(NO_LOADER, machine="EM_AARCH64")
STATIC = ElfFacts("ET_EXEC", "EM_X86_64", 64)
COPY, ALONE = "files: [{name: m}]", "files: [{name: m, autodep: false}]"
TREE = "dirs: [d/]"


def executable(_: str, stat: SourceStat) -> int:
    return stat.mode | 0o111


def told(copy: str, files: Files, patch: dict[str, Any], *, keep: bool) -> list[Problem]:
    """All that is told of an image of one copy to /bin, for Occlum's own init to mount."""
    bom = "targets: [{target: /, mkdirs: [bin, dev, etc, host, lib, proc, root, tmp]}, "
    bom += f"{{target: /bin, copy: [{{{copy}}}]}}]"
    sources = TreeView({**SYSTEM, **files, "ws": None, "b": bom.encode()})
    report = Report()
    boms = load_boms("b", (), {}, reader_of(sources), report)
    options = PlanOptions(mode=(lambda _, stat: stat.mode) if keep else executable)
    config = parse_loader_config(CONFIG, "config")
    plan = plan_image([BomSet(boms, "ws", {}, config)], options, sources, report)
    root = Root(plan.entries, sources, plan.searched)
    of_image = [*report.errors, *report.warnings, *check_image(root)]
    document = merge(default_config(), parse_json(json.dumps(patch).encode(), "p"))
    of_enclave = check_enclave(
        root, document, check(document).config, mounts_image=True, of_image=of_image
    )
    return [*of_image, *of_enclave]


@pytest.mark.parametrize(
    ("copy", "m", "expected"),
    [
        (COPY, MUSL, []),
        (COPY, NO_LOADER, [("libraries", ERROR)]),
        (ALONE, NO_LOADER, [("interpreter", WARNING)]),
        (TREE, NO_LOADER, [("libraries", WARNING)]),
        (COPY, ARM, [("program", ERROR)]),
        (ALONE, ARM, [("program", WARNING)]),
        (TREE, ARM, [("program", WARNING)]),
        (COPY, replace(STATIC, machine="EM_AARCH64"), [("program", ERROR)]),
        (COPY, STATIC, [("libos-program", WARNING)]),
        (COPY, replace(MUSL, needed=("libgone.so",)), [("libraries", ERROR)]),
        (TREE, replace(MUSL, needed=("libgone.so",)), [("libraries", WARNING)]),
        (ALONE, replace(MUSL, type="ET_REL"), [("program", WARNING)]),
        (COPY, b"#!\n", [("interpreter", WARNING)]),
        (COPY, b"#!/bin/gone\n", [("interpreter", WARNING)]),
        (TREE, b"#!/bin/gone\n", [("interpreter", NOTE)]),
        (COPY, b"#!/bin/m\n", [("interpreter", NOTE)]),
        (COPY, b"#!/bin/gone\r\n", [("interpreter", WARNING)]),
        (COPY, Archive("/bin/gone"), [("interpreter", WARNING)]),
        (COPY, b"text", []),
    ],
)
def test_a_program(copy: str, m: Any, expected: list[tuple[str, str]]) -> None:
    name = "ws/d/m" if copy is TREE else "ws/m"
    found = told(copy, {name: m}, {}, keep=False)
    assert [(one.code, one.severity) for one in found] == expected, "\n".join(map(str, found))


def test_a_loader_that_has_no_place() -> None:
    loop = f"files: [m]}}]}}, {{target: /, createlinks: [{{src: {MUSL_LOADER}, linkname: x}}]}}, "
    loop += "{target: /lib, createlinks: [{src: ld-musl-x86_64.so.1, linkname: ld-musl-x86_64.so.1"
    found = told(loop, {"ws/m": MUSL}, {}, keep=False)
    assert sorted({(one.code, one.severity) for one in found}) == [
        ("link", ERROR),
        ("link-dangling", WARNING),
    ], "\n".join(map(str, found))


@pytest.mark.parametrize(
    ("files", "patch", "expected"),
    [
        ({"ws/m": GLIBC}, {}, [("libraries", ERROR)]),
        (
            {"ws/m": GLIBC, "/lib64/ld-linux-x86-64.so.2": library()},
            {},
            [("loader", WARNING)],
        ),
        ({"ws/m": b"#!/bin/sh\n"}, {}, [("program", WARNING)]),
        (
            {"ws/m": MUSL},
            {"entry_points": ["/opt"]},
            [("libos-entry-point", ERROR)],
        ),
        ({"ws/m": MUSL}, {"env": {"default": ["TZ=X/Y"]}}, [("runtime-timezone", WARNING)]),
    ],
)
def test_an_image(files: Files, patch: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = told(COPY, files, patch, keep=True)
    assert [(one.code, one.severity) for one in found] == expected, "\n".join(map(str, found))
