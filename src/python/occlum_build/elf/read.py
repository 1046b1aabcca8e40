"""Read the facts of one ELF file with pyelftools' tables, from program headers only.

Sections are never read: stripped files have none, and only the program headers count at run time.
pyelftools is imported on the first ELF file, because it takes longer to load than to use.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from occlum_build.elf.facts import ElfFacts, Malformed

MAGIC = b"\x7fELF"
EI_CLASS, EI_DATA, EI_OSABI = 4, 5, 7  # offsets in e_ident
CLASSES = {1: 32, 2: 64}
LITTLE_ENDIAN = {1: True, 2: False}
MAX_STRING = 1 << 16  # bytes; a longer name is junk
MAX_ENTRIES = 1 << 16  # of a table without a length of its own
VERSION_BASE, VERSION_WEAK = 1, 2  # vd_flags, vna_flags
DF_1_NODEFLIB = 0x800
PN_XNUM = 0xFFFF


def read_facts(data: bytes | BinaryIO) -> ElfFacts | Malformed | None:
    """The facts of an ELF file, given as bytes or as a seekable stream; None for any other file."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    stream.seek(0)
    ident = stream.read(16)
    if ident[:4] != MAGIC:
        return None
    try:
        return _Reader(stream, ident).facts()
    except _Junk as error:
        return Malformed(str(error))


class _Junk(Exception):
    """What is wrong with a malformed file."""


class _Reader:
    """One file; every offset of it is checked before it is used."""

    def __init__(self, stream: BinaryIO, ident: bytes) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)
        if len(ident) < 16 or ident[EI_CLASS] not in CLASSES or ident[EI_DATA] not in LITTLE_ENDIAN:
            raise _Junk("the ELF identification is not valid")
        self._class = CLASSES[ident[EI_CLASS]]
        little_endian = LITTLE_ENDIAN[ident[EI_DATA]]
        self._structs = _structs(little_endian, self._class, None, None)
        self._header = self._parse("Elf_Ehdr", 0)
        self._structs = _structs(
            little_endian,
            self._class,
            self._header["e_machine"],
            self._header["e_ident"]["EI_OSABI"],
        )

    def facts(self) -> ElfFacts:
        """The facts of a well-formed file."""
        segments = self._segments()
        self._loads = [one for one in segments if one["p_type"] == "PT_LOAD"]
        found = [one for one in segments if one["p_type"] == "PT_DYNAMIC" and one["p_filesz"]]
        base = ElfFacts(
            type=str(self._header["e_type"]),
            machine=str(self._header["e_machine"]),
            elf_class=self._class,
            interpreter=self._interpreter(segments),
        )
        return self._dynamic_facts(base, found[0]) if found else base

    def _segments(self) -> list[Any]:
        header = self._header
        count, size = header["e_phnum"], header["e_phentsize"]
        if count == PN_XNUM or (count and size != self._structs.Elf_Phdr.sizeof()):
            raise _Junk("the program header table is not valid")
        return [self._parse("Elf_Phdr", header["e_phoff"] + n * size) for n in range(count)]

    def _interpreter(self, segments: list[Any]) -> str | None:
        for segment in segments:
            if segment["p_type"] == "PT_INTERP" and segment["p_filesz"]:
                return self._string(segment["p_offset"])
        return None

    def _dynamic_facts(self, base: ElfFacts, segment: Any) -> ElfFacts:
        tags = self._tags(segment)
        table = self._offset(tags["DT_STRTAB"][0]) if "DT_STRTAB" in tags else None

        def strings(tag: str) -> tuple[str, ...]:
            if tag not in tags:
                return ()
            if table is None:
                raise _Junk("the dynamic segment has no string table")
            return tuple(self._string(table + value) for value in tags[tag])

        def paths(tag: str) -> tuple[str, ...] | None:
            return tuple(strings(tag)[-1].split(":")) if tag in tags else None

        return ElfFacts(
            type=base.type,
            machine=base.machine,
            elf_class=base.elf_class,
            interpreter=base.interpreter,
            is_dynamic=True,
            soname=next(iter(strings("DT_SONAME")), None),
            needed=strings("DT_NEEDED"),
            rpath=paths("DT_RPATH"),
            runpath=paths("DT_RUNPATH"),
            nodeflib=bool(tags.get("DT_FLAGS_1", [0])[0] & DF_1_NODEFLIB),
            version_needs=tuple(self._version_needs(tags, table)),
            version_defs=tuple(self._version_defs(tags, table)),
        )

    def _tags(self, segment: Any) -> dict[str, list[int]]:
        size = self._structs.Elf_Dyn.sizeof()
        tags: dict[str, list[int]] = {}
        for n in range(segment["p_filesz"] // size):
            tag = self._parse("Elf_Dyn", segment["p_offset"] + n * size)
            if tag["d_tag"] == "DT_NULL":
                break
            tags.setdefault(str(tag["d_tag"]), []).append(tag["d_val"])
        return tags

    def _version_needs(
        self, tags: dict[str, list[int]], table: int | None
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        for offset, need in self._chain(tags, "DT_VERNEED", "Elf_Verneed", "vn_next"):
            used = self._records(offset + need["vn_aux"], "Elf_Vernaux", "vna_next")
            names = [
                self._string(_known(table) + one["vna_name"])
                for _, one in used
                if not one["vna_flags"] & VERSION_WEAK
            ]
            if names:
                yield self._string(_known(table) + need["vn_file"]), tuple(names)

    def _version_defs(self, tags: dict[str, list[int]], table: int | None) -> Iterator[str]:
        for offset, one in self._chain(tags, "DT_VERDEF", "Elf_Verdef", "vd_next"):
            if not one["vd_flags"] & VERSION_BASE:
                name = self._parse("Elf_Verdaux", offset + one["vd_aux"])["vda_name"]
                yield self._string(_known(table) + name)

    def _chain(
        self, tags: dict[str, list[int]], tag: str, struct: str, link: str
    ) -> Iterator[tuple[int, Any]]:
        return self._records(self._offset(tags[tag][0]), struct, link) if tag in tags else iter(())

    def _records(self, offset: int, struct: str, link: str) -> Iterator[tuple[int, Any]]:
        """The records of a list whose links are distances to the next one, 0 at the end."""
        for _ in range(MAX_ENTRIES):
            record = self._parse(struct, offset)
            yield offset, record
            if not record[link]:
                return
            offset += record[link]
        raise _Junk("a version table has no end")

    def _offset(self, address: int) -> int:
        """Where in the file the byte at a virtual address stands."""
        for load in self._loads:
            if 0 <= address - load["p_vaddr"] < load["p_filesz"]:
                return int(address - load["p_vaddr"] + load["p_offset"])
        raise _Junk(f"address {address:#x} is in no segment")

    def _string(self, offset: int) -> str:
        if not 0 <= offset < self._size:
            raise _Junk("a name lies outside the file")
        self._stream.seek(offset)
        text, end, _ = self._stream.read(MAX_STRING).partition(b"\0")
        if not end:
            raise _Junk("a name has no end")
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise _Junk("a name is not UTF-8") from error

    def _parse(self, struct: str, offset: int) -> Any:
        from elftools.construct import ConstructError

        parser: Any = getattr(self._structs, struct)
        if not 0 <= offset <= self._size - parser.sizeof():
            raise _Junk(f"{struct} lies outside the file")
        self._stream.seek(offset)
        try:
            return parser.parse_stream(self._stream)
        except (ConstructError, ValueError, TypeError, KeyError) as error:
            raise _Junk(f"{struct} is not valid: {error}") from error


def _known(table: int | None) -> int:
    if table is None:
        raise _Junk("the dynamic segment has no string table")
    return table


@functools.cache
def _structs(little_endian: bool, elf_class: int, machine: str | None, osabi: str | None) -> Any:
    """pyelftools' tables: the basic ones without a machine, else those of its programs."""
    from elftools.elf import structs

    tables: Any = structs.ELFStructs(little_endian, elf_class)
    tables.create_basic_structs()
    if machine is not None:
        tables.create_advanced_structs("ET_DYN", machine, osabi)
    return tables
