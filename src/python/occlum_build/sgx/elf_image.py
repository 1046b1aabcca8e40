"""One x86-64 ELF shared object as tables: segments, sections, dynamic entries, dynamic symbols."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from occlum_build.errors import OcclumError
from occlum_build.sgx.layout_ids import SI_EXECUTE, SI_READ, SI_REGULAR, SI_WRITE
from occlum_build.sgx.records import PAGE_SIZE, round_up

DT_SYMTAB = 6
_DYNAMIC_ENTRY = struct.Struct("<qQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SI_OF_SEGMENT_FLAG = ((4, SI_READ), (2, SI_WRITE), (1, SI_EXECUTE))
MAX_IMAGE_BYTES = 1 << 36
_open_elf: Any = ELFFile  # pyelftools has no types
# What pyelftools raises on damaged files: it checks little before it follows a header.
_DAMAGED = (
    *(ELFError, ConstructError, ValueError, KeyError),
    *(TypeError, OverflowError, AttributeError, IndexError),
)


def elf_error(message: str, *, hint: str = "") -> OcclumError:
    """The error for an enclave file that breaks a rule."""
    return OcclumError("enclave-elf", message, hint=hint)


@dataclass(frozen=True)
class Segment:
    """A PT_LOAD: where it is in the file and in memory (bytes), and its page flags (SECINFO)."""

    offset: int
    file_size: int
    address: int
    memory_size: int
    si_flags: int


@dataclass(frozen=True)
class Section:
    """A section header, sizes in bytes; `header_offset` is where the header itself stands."""

    name: str
    type: str
    flags: int
    address: int
    offset: int
    size: int
    alignment: int
    link: int
    header_offset: int


@dataclass(frozen=True)
class Symbol:
    """A dynamic symbol; `section_index` 0 means undefined, `binding` 2 weak."""

    address: int
    section_index: int
    binding: int


class ElfImage:
    """Tables of an ELF file; OcclumError `enclave-elf` when it is damaged or of another kind."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        try:
            self._load(_open_elf(io.BytesIO(data)))
        except _DAMAGED as error:
            raise elf_error(f"no readable ELF file: {error}") from error

    def _load(self, elf: Any) -> None:
        header = elf.header
        kind = (elf.elfclass, elf.little_endian, header["e_type"], header["e_machine"])
        if kind != (64, True, "ET_DYN", "EM_X86_64"):
            raise elf_error("an enclave is a little-endian 64-bit x86-64 shared object (ET_DYN)")
        self.entry: int = header["e_entry"]
        self.sections = tuple(
            Section(
                name=section.name,
                type=str(section["sh_type"]),
                flags=section["sh_flags"],
                address=section["sh_addr"],
                offset=section["sh_offset"],
                size=section["sh_size"],
                alignment=section["sh_addralign"],
                link=section["sh_link"],
                header_offset=header["e_shoff"] + index * header["e_shentsize"],
            )
            for index, section in enumerate(elf.iter_sections())
        )
        headers = [segment.header for segment in elf.iter_segments()]
        self.segments = tuple(
            self._segment(entry) for entry in headers if entry["p_type"] == "PT_LOAD"
        )
        _check_segments(self.segments)
        self.dynamic = self._dynamic(
            [entry for entry in headers if entry["p_type"] == "PT_DYNAMIC"]
        )
        self.tls_size = sum(
            round_up(entry["p_memsz"], max(entry["p_align"], 1))
            for entry in headers
            if entry["p_type"] == "PT_TLS"
        )

    def _segment(self, header: Mapping[str, int]) -> Segment:
        where = f"the PT_LOAD at {header['p_vaddr']:#x}"
        if header["p_align"] == 0 or header["p_align"] % PAGE_SIZE:
            raise elf_error(f"{where} is aligned to {header['p_align']:#x}, not to pages")
        if not header["p_flags"] & 7:
            raise elf_error(f"{where} has no access flags")
        if header["p_memsz"] < header["p_filesz"]:
            raise elf_error(f"{where} is larger in the file than in memory")
        if header["p_vaddr"] + header["p_memsz"] > MAX_IMAGE_BYTES:
            raise elf_error(f"{where} ends above {MAX_IMAGE_BYTES:#x}")
        self.read(header["p_offset"], header["p_filesz"], where)
        si_flags = SI_REGULAR
        for flag, si_flag in _SI_OF_SEGMENT_FLAG:
            si_flags |= si_flag if header["p_flags"] & flag else 0
        return Segment(
            header["p_offset"], header["p_filesz"], header["p_vaddr"], header["p_memsz"], si_flags
        )

    def _dynamic(self, headers: list[Mapping[str, int]]) -> Mapping[int, int]:
        """Tag -> value; the first entry of a tag counts, as there is one of each we look at."""
        if not headers:
            raise elf_error("there is no PT_DYNAMIC segment")
        size = headers[0]["p_filesz"] // _DYNAMIC_ENTRY.size * _DYNAMIC_ENTRY.size
        tags: dict[int, int] = {}
        table = self.read(headers[0]["p_offset"], size, "the dynamic section")
        for tag, value in _DYNAMIC_ENTRY.iter_unpack(table):
            if tag == 0:
                break
            tags.setdefault(tag, value)
        return tags

    def read(self, offset: int, size: int, what: str) -> bytes:
        """These bytes of the file."""
        if offset + size > len(self.data):
            raise elf_error(f"{what} reaches beyond the end of the file")
        return self.data[offset : offset + size]

    def section(self, name: str) -> Section | None:
        return next((section for section in self.sections if section.name == name), None)

    def file_offset(self, address: int, size: int, what: str) -> int:
        """Where in the file these bytes of the image are."""
        for segment in self.segments:
            distance = address - segment.address
            if 0 <= distance <= segment.file_size - size:
                return segment.offset + distance
        raise elf_error(f"{what} ({size} bytes at {address:#x}) is in no PT_LOAD of the file")

    @cached_property
    def symbols(self) -> Mapping[str, Symbol]:
        """The dynamic symbols by name, without versions."""
        return dict(self._symbols())

    def _symbols(self) -> Iterator[tuple[str, Symbol]]:
        # Found by its address among the section headers: DT_SYMTAB alone gives no size.
        address = self.dynamic.get(DT_SYMTAB)
        table = next(
            (s for s in self.sections if s.type == "SHT_DYNSYM" and s.address == address), None
        )
        if table is None or table.link >= len(self.sections):
            raise elf_error("there is no dynamic symbol table (DT_SYMTAB and a section .dynsym)")
        strings = self.sections[table.link]
        names = self.read(strings.offset, strings.size, "the dynamic string table")
        size = table.size // _SYMBOL.size * _SYMBOL.size
        entries = self.read(table.offset, size, "the dynamic symbol table")
        for index, entry in enumerate(_SYMBOL.iter_unpack(entries)):
            name, info, _, section_index, value, _ = entry
            if index == 0:
                continue
            text = names[name : names.find(b"\0", name)].decode("utf-8", "replace")
            yield text, Symbol(value, section_index, info >> 4)


def _check_segments(segments: tuple[Segment, ...]) -> None:
    if not segments:
        raise elf_error("there is no PT_LOAD segment")
    ordered = sorted(segments, key=lambda segment: segment.address)
    for lower, upper in zip(ordered, ordered[1:]):
        if lower.address + lower.memory_size > upper.address:
            raise elf_error(f"the PT_LOADs at {lower.address:#x} and {upper.address:#x} overlap")
