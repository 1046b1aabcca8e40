"""What the files of a toolchain must be, so that nothing else gets into an enclave as its code."""

from __future__ import annotations

import posixpath

from occlum_build.elf.facts import ElfFacts, Malformed
from occlum_build.errors import OcclumError, Place
from occlum_build.files.json_text import load_json

TEMPLATE_ROLE, KEY_ROLE, HEADER_ROLE = "template", "sign-key", "version-header"
NO_CODE = (TEMPLATE_ROLE, KEY_ROLE, HEADER_ROLE)
# The programs of a toolchain for tests are such texts: they are measured and cannot be run.
STAND_IN = b"stand-in for "
MAX_STAND_IN_BYTES = 128
_HINT = "give a toolchain for x86-64, and look where you have this one from"


def check_content(role: str, content: bytes, path: str) -> None:
    """OcclumError `toolchain` for code that is no ELF file for x86-64, or a template not JSON."""
    if role == TEMPLATE_ROLE:
        check_template(content, path)
    elif role not in NO_CODE and not is_stand_in(content):
        from occlum_build.elf.read import read_facts  # most commands need none of it

        check_code(role, read_facts(content), path)


def check_template(content: bytes, path: str) -> None:
    """OcclumError `toolchain` for a default configuration that is no object of JSON."""
    if not isinstance(load_json(content, path, code="toolchain"), dict):
        raise OcclumError("toolchain", "not an object of JSON", place=Place(path))


def check_code(role: str, found: ElfFacts | Malformed | None, path: str) -> None:
    """OcclumError `toolchain` unless these are the facts of a program or library for x86-64."""
    fault = _fault(found)
    if fault:
        message = f"the toolchain's {posixpath.basename(role)} {fault}"
        raise OcclumError("toolchain", message, place=Place(path), hint=_HINT)


def is_stand_in(content: bytes) -> bool:
    """Is it a text of a toolchain for tests, which hides nothing?"""
    return len(content) <= MAX_STAND_IN_BYTES and content.startswith(STAND_IN)


def _fault(found: ElfFacts | Malformed | None) -> str:
    if found is None:
        return "is not an ELF file"
    if isinstance(found, Malformed):
        return f"is a damaged ELF file: {found.reason}"
    if (found.elf_class, found.machine) != (64, "EM_X86_64"):
        return f"is an ELF file of {found.elf_class} bits for {found.machine}, not for x86-64"
    if not found.loadable:
        return f"is an ELF file of type {found.type}, and neither a program nor a library"
    return ""
