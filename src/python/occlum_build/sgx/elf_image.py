"""One x86-64 ELF shared object as tables: segments, sections, dynamic entries, dynamic symbols."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.sgx.layout_ids import SI_EXECUTE, SI_READ, SI_REGULAR, SI_WRITE
from occlum_build.sgx.records import PAGE_SIZE, round_up

DT_SYMTAB = 6
_DYNAMIC_ENTRY = struct.Struct("<qQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SI_OF_SEGMENT_FLAG = ((4, SI_READ), (2, SI_WRITE), (1, SI_EXECUTE))
MAX_IMAGE_BYTES = 1 << 36
# What pyelftools raises on damaged files, beside its own errors: it checks little before it follows
# a header.
_DAMAGED = (ValueError, KeyError, TypeError, OverflowError, AttributeError, IndexError)
_SEGMENT_BYTES, _SECTION_BYTES = 56, 64  # of a header in a table, 64 bit
MAX_ALIGNMENT = 1 << 30  # bytes; linkers align to 4 KiB, 64 KiB or 2 MiB
MAX_NAME = 4096  # bytes
MAX_NAMES = 16 << 20  # bytes of the names of all symbols


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
        # Here, as these are 50 modules, and a start of Pants reads no enclave.
        from elftools.common.exceptions import ELFError
        from elftools.construct import ConstructError
        from elftools.elf.elffile import ELFFile

        self.data = data
        open_elf: Any = ELFFile  # pyelftools has no types
        try:
            self._load(open_elf(io.BytesIO(data)))
        except (ELFError, ConstructError, *_DAMAGED) as error:
            raise elf_error(f"no readable ELF file: {error}") from error

    def _load(self, elf: Any) -> None:
        header = elf.header
        kind = (elf.elfclass, elf.little_endian, header["e_type"], header["e_machine"])
        if kind != (64, True, "ET_DYN", "EM_X86_64"):
            raise elf_error("an enclave is a little-endian 64-bit x86-64 shared object (ET_DYN)")
        self.entry: int = header["e_entry"]
        self.sections = tuple(self._sections(elf))
        headers = self._table(elf, "ph", elf.structs.Elf_Phdr, _SEGMENT_BYTES, "program")
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

    def _table(self, elf: Any, which: str, record: Any, size: int, what: str) -> list[Any]:
        """The headers of a table, each by itself: pyelftools' own loops take any number and size of
        them, and follow the links between sections."""
        from elftools.common.utils import struct_parse

        header = elf.header
        offset, count = header[f"e_{which}off"], header[f"e_{which}num"]
        if count and header[f"e_{which}entsize"] != size:
            found = header[f"e_{which}entsize"]
            raise elf_error(f"no readable ELF file: its {what} headers have {found} bytes each")
        self._check_within(offset, count * size, f"the ELF file's table of {what} headers")
        stream = io.BytesIO(self.data)
        return [struct_parse(record, stream, offset + at * size) for at in range(count)]

    def _sections(self, elf: Any) -> Iterator[Section]:
        headers = self._table(elf, "sh", elf.structs.Elf_Shdr, _SECTION_BYTES, "section")
        names = elf.header["e_shstrndx"]
        if headers and names >= len(headers):
            raise elf_error("no readable ELF file: it has no table of section names")
        for index, header in enumerate(headers):
            yield Section(
                name=self._name(headers[names]["sh_offset"] + header["sh_name"], "a section"),
                type=str(header["sh_type"]),
                flags=header["sh_flags"],
                address=header["sh_addr"],
                offset=header["sh_offset"],
                size=header["sh_size"],
                alignment=header["sh_addralign"],
                link=header["sh_link"],
                header_offset=elf.header["e_shoff"] + index * _SECTION_BYTES,
            )

    def _name(self, offset: int, what: str) -> str:
        end = self.data.find(b"\0", offset, offset + MAX_NAME + 1)
        if end < 0:
            raise elf_error(f"no readable ELF file: the name of {what} has no end")
        return self.data[offset:end].decode("utf-8", "replace")

    def _segment(self, header: Mapping[str, int]) -> Segment:
        offset, address, alignment = header["p_offset"], header["p_vaddr"], header["p_align"]
        file_size, memory_size, flags = header["p_filesz"], header["p_memsz"], header["p_flags"]
        where = f"the PT_LOAD at {address:#x}"
        if alignment == 0 or alignment % PAGE_SIZE:
            raise elf_error(f"{where} is aligned to {alignment:#x}, not to pages")
        if alignment > MAX_ALIGNMENT:
            raise elf_error(f"{where} is aligned to {alignment:#x}, more than {MAX_ALIGNMENT:#x}")
        if not flags & 7:
            raise elf_error(f"{where} has no access flags")
        if memory_size < file_size:
            raise elf_error(f"{where} is larger in the file than in memory")
        if address + memory_size > MAX_IMAGE_BYTES:
            raise elf_error(f"{where} ends above {MAX_IMAGE_BYTES:#x}")
        self._check_within(offset, file_size, where)
        si_flags = SI_REGULAR
        for flag, si_flag in _SI_OF_SEGMENT_FLAG:
            si_flags |= si_flag if flags & flag else 0
        return Segment(offset, file_size, address, memory_size, si_flags)

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
        self._check_within(offset, size, what)
        return self.data[offset : offset + size]

    def _check_within(self, offset: int, size: int, what: str) -> None:
        if offset + size > len(self.data):
            raise elf_error(f"{what} reaches beyond the end of the file")

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
        left = MAX_NAMES
        for index, entry in enumerate(_SYMBOL.iter_unpack(entries)):
            name, info, _, section_index, value, _ = entry
            if index == 0:
                continue
            end = names.find(b"\0", name, name + MAX_NAME + 1)
            left -= end - name
            if end < 0 or left < 0:
                raise elf_error(
                    f"the names of dynamic symbols have more than {MAX_NAME:,} bytes each or "
                    f"{MAX_NAMES:,} together"
                )
            text = names[name:end].decode("utf-8", "replace")
            yield text, Symbol(value, section_index, info >> 4)


def _check_segments(segments: tuple[Segment, ...]) -> None:
    if not segments:
        raise elf_error("there is no PT_LOAD segment")
    ordered = sorted(segments, key=lambda segment: segment.address)
    for lower, upper in zip(ordered, ordered[1:]):
        if lower.address + lower.memory_size > upper.address:
            raise elf_error(f"the PT_LOADs at {lower.address:#x} and {upper.address:#x} overlap")
