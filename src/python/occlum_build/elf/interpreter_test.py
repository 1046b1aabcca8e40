"""What may be a loader: a path in a program may name any file of the host."""

from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import TAKE_ANOTHER, Interpreter, choose_interpreter
from occlum_build.elf.loader_config import LoaderConfig, LoaderEntry
from occlum_build.elf.testing import MemoryView
from occlum_build.errors import Problem

LOADER = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True)
PROGRAM = replace(LOADER, interpreter="/lib/ld.so")


def chosen(
    loader: ElfFacts | bytes | str, program: ElfFacts = PROGRAM
) -> tuple[Interpreter | None, Problem | None]:
    view = MemoryView({"/lib/ld.so": loader, "/other": b"other", "/dir/f": b""})
    return choose_interpreter(view, program, "app", LoaderConfig())


@pytest.mark.parametrize(
    "loader",
    [
        LOADER,  # glibc's and musl's
        replace(LOADER, is_dynamic=False),
        replace(LOADER, type="ET_EXEC"),  # the kernel takes these, too
    ],
)
def test_what_is_a_loader(loader: ElfFacts) -> None:
    found, problem = chosen(loader)
    assert (found, problem) == (Interpreter("/lib/ld.so", "/lib/ld.so", "/lib/ld.so"), None)


@pytest.mark.parametrize(
    ("loader", "fault"),
    [
        (b"secret", "is no ELF file"),
        ("-> /other", "is no ELF file"),
        (replace(LOADER, type="ET_REL"), "is no ELF file"),
        (replace(LOADER, type="ET_CORE"), "is no ELF file"),
        (replace(LOADER, machine="EM_AARCH64"), "has the wrong machine (EM_AARCH64)"),
        (replace(LOADER, machine="EM_386", elf_class=32), "has the wrong class (32 bit)"),
        (PROGRAM, "is no loader, but a program that needs one itself"),
    ],
)
def test_what_is_none(loader: ElfFacts | bytes | str, fault: str) -> None:
    found, problem = chosen(loader)
    assert found is not None
    assert (found.fault, found.is_lacking) == (fault, False)
    assert problem is not None
    assert problem.code == "libraries"
    assert problem.message == f"app needs the loader /lib/ld.so, which {fault}"
    assert problem.hint.startswith(TAKE_ANOTHER)


def test_a_loader_for_32_bit_is_one_of_such_a_program() -> None:
    loader = replace(LOADER, machine="EM_386", elf_class=32)
    found, problem = chosen(loader, replace(loader, interpreter="/lib/ld.so"))
    assert found is not None
    assert (found.fault, problem) == ("", None)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/gone", "does not exist"),
        ("/dir", "is a directory"),
        ("lib/ld.so", "is no absolute path"),
        ("../../other", "is no absolute path"),
        ("/dir/../gone", "does not exist"),
    ],
)
def test_a_path_that_leads_to_no_file(path: str, reason: str) -> None:
    found, problem = chosen(LOADER, replace(PROGRAM, interpreter=path))
    assert found is not None
    assert found.is_lacking
    assert problem is not None
    assert problem.message == f"app needs the loader {path}, which {reason}"


@pytest.mark.parametrize("path", ["/dir/../other", "//other", "/./other", "/../../other"])
def test_a_path_that_is_not_plain_leads_to_the_same_file(path: str) -> None:
    _, problem = chosen(LOADER, replace(PROGRAM, interpreter=path))
    assert problem is not None
    assert problem.message == f"app needs the loader {path}, which is no ELF file"


def test_a_loader_of_the_config_is_one_as_well() -> None:
    config = LoaderConfig((LoaderEntry("/opt/ld.so", ("/opt",)),))
    view = MemoryView({"/lib/ld.so": LOADER, "/opt/ld.so": b"secret"})
    found, problem = choose_interpreter(view, PROGRAM, "app", config)
    assert found is not None
    assert found.fault == "is no ELF file"
    assert problem is not None
    assert problem.message == (
        "app needs the loader /opt/ld.so, which the loader config names for /lib/ld.so and which "
        "is no ELF file"
    )
