"""Read the facts of one ELF file from its program headers and its dynamic segment.

Sections are never read: stripped files have none, and only the program headers count at run time.
The data of very few libraries is searched for paths (`elf.data_paths`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from occlum_build.elf import layout
from occlum_build.elf.data_paths import data_paths
from occlum_build.elf.facts import LIBC, ElfFacts, Malformed
from occlum_build.elf.layout import MAGIC, layout_of
from occlum_build.table import Record

MAX_STRING = 1 << 16  # bytes; a longer name is junk
USUAL_STRING = 1 << 8
MAX_PATH = 4096  # bytes with the NUL, the kernel's PATH_MAX
MAX_ENTRIES = 1 << 16  # of a table without a length of its own
MAX_NAMES = 1 << 22  # bytes of a string table that is looked through, and of all names
# Functions of glibc for which it opens libgcc_s.so.1, and aborts or fails without it.
UNWINDING = (b"\0pthread_cancel\0", b"\0pthread_exit\0", b"\0backtrace\0")


def read_facts(data: bytes | BinaryIO) -> ElfFacts | Malformed | None:
    """The facts of an ELF file, given as bytes or as a seekable stream; None for any other file."""
    stream = io.BytesIO(data) if isinstance(data, bytes) else data
    stream.seek(0)
    ident = stream.read(layout.EI_NIDENT)
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
        if (
            len(ident) < layout.EI_NIDENT
            or ident[layout.EI_CLASS] not in layout.CLASSES
            or ident[layout.EI_DATA] not in layout.ORDERS
        ):
            raise _Junk("the ELF identification is not valid")
        self._class = layout.CLASSES[ident[layout.EI_CLASS]]
        self._layout = layout_of(self._class, layout.ORDERS[ident[layout.EI_DATA]])
        self._names_left = MAX_NAMES
        # Of any table: each lies in the file once, though tables may be said to share some.
        self._versions_left = min(MAX_ENTRIES, self._size // self._layout.verneed.size)
        self._header = self._parse(self._layout.ehdr, 0, "the ELF header")

    def facts(self) -> ElfFacts:
        """The facts of a well-formed file."""
        segments = self._segments()
        self._loads = [one for one in segments if one["p_type"] == layout.PT_LOAD]
        found = [one for one in segments if one["p_type"] == layout.PT_DYNAMIC and one["p_filesz"]]
        kind, machine = self._header["e_type"], self._header["e_machine"]
        base = ElfFacts(
            type=layout.TYPES.get(kind, str(kind)),
            machine=layout.MACHINES.get(machine, str(machine)),
            elf_class=self._class,
            interpreter=self._interpreter(segments),
        )
        return self._dynamic_facts(base, found[0]) if found else base

    def _segments(self) -> list[dict[str, Any]]:
        header, record = self._header, self._layout.phdr
        count = header["e_phnum"]
        if count == layout.PN_XNUM or (count and header["e_phentsize"] != record.size):
            raise _Junk("the program header table is not valid")
        table = self._read(header["e_phoff"], count * record.size, "the program header table")
        return [record.unpack(one) for one in _split(table, record.size)]

    def _interpreter(self, segments: list[dict[str, Any]]) -> str | None:
        for segment in segments:
            if segment["p_type"] == layout.PT_INTERP and segment["p_filesz"]:
                return self._path(segment["p_offset"], segment["p_filesz"])
        return None

    def _path(self, offset: int, size: int) -> str:
        """A path with its end in so many bytes, as a kernel takes it."""
        if not 1 < size <= MAX_PATH:
            raise _Junk(f"the path of its loader has {size} bytes, not 2 to {MAX_PATH}")
        path = self._read(offset, size, "the path of its loader")
        if path[-1:] != b"\0":
            raise _Junk("the path of its loader has no end")
        if not path.partition(b"\0")[0]:
            raise _Junk("the path of its loader is empty")
        return self._string(offset)

    def _dynamic_facts(self, base: ElfFacts, segment: dict[str, Any]) -> ElfFacts:
        tags = self._tags(segment)
        table = self._offset(tags[layout.DT_STRTAB][0]) if layout.DT_STRTAB in tags else None

        def strings(tag: int) -> tuple[str, ...]:
            return tuple(self._string(_known(table) + value) for value in tags.get(tag, ()))

        def paths(tag: int) -> tuple[str, ...] | None:
            return tuple(strings(tag)[-1].split(":")) if tag in tags else None

        needed = strings(layout.DT_NEEDED)
        soname = next(iter(strings(layout.DT_SONAME)), None)
        return ElfFacts(
            type=base.type,
            machine=base.machine,
            elf_class=base.elf_class,
            interpreter=base.interpreter,
            is_dynamic=True,
            soname=soname,
            needed=needed,
            unwinds=LIBC in needed and self._names_unwinding(tags, _known(table)),
            filters=strings(layout.DT_FILTER),
            auxiliaries=strings(layout.DT_AUXILIARY),
            rpath=paths(layout.DT_RPATH),
            runpath=paths(layout.DT_RUNPATH),
            nodeflib=bool(tags.get(layout.DT_FLAGS_1, [0])[0] & layout.DF_1_NODEFLIB),
            version_needs=tuple(self._version_needs(tags, table)),
            version_defs=tuple(self._version_defs(tags, table)),
            data_paths=self._data_paths(soname or ""),
        )

    def _data_paths(self, soname: str) -> tuple[str, ...]:
        found = data_paths(self._stream, soname)
        if sum(map(len, found)) > MAX_NAMES:
            raise _Junk(f"the paths in its data have more than {MAX_NAMES:,} bytes together")
        return found

    def _names_unwinding(self, tags: dict[int, list[int]], table: int) -> bool:
        """Whether one of UNWINDING is among the names of its symbols, called or not."""
        size = min(tags.get(layout.DT_STRSZ, [0])[0], MAX_NAMES, max(self._size - table, 0))
        self._stream.seek(table)
        names = self._stream.read(size)
        return any(name in names for name in UNWINDING)

    def _tags(self, segment: dict[str, Any]) -> dict[int, list[int]]:
        record, offset = self._layout.dyn, segment["p_offset"]
        size = min(segment["p_filesz"], MAX_ENTRIES * record.size, max(self._size - offset, 0))
        data = self._read(offset, size - size % record.size, "the dynamic segment")
        tags: dict[int, list[int]] = {}
        for one in _split(data, record.size):
            entry = record.unpack(one)
            if entry["d_tag"] == layout.DT_NULL:
                return tags
            tags.setdefault(entry["d_tag"], []).append(entry["d_val"])
        if size < segment["p_filesz"]:
            raise _Junk("the dynamic segment has no end")
        return tags

    def _version_needs(
        self, tags: dict[int, list[int]], table: int | None
    ) -> Iterator[tuple[str, tuple[str, ...]]]:
        for offset, need in self._chain(tags, layout.DT_VERNEED, self._layout.verneed, "vn_next"):
            used = self._records(offset + need["vn_aux"], self._layout.vernaux, "vna_next")
            names = [
                self._string(_known(table) + one["vna_name"])
                for _, one in used
                if not one["vna_flags"] & layout.VERSION_WEAK
            ]
            if names:
                yield self._string(_known(table) + need["vn_file"]), tuple(names)

    def _version_defs(self, tags: dict[int, list[int]], table: int | None) -> Iterator[str]:
        for offset, one in self._chain(tags, layout.DT_VERDEF, self._layout.verdef, "vd_next"):
            if not one["vd_flags"] & layout.VERSION_BASE:
                first = self._parse(self._layout.verdaux, offset + one["vd_aux"], "a version")
                yield self._string(_known(table) + first["vda_name"])

    def _chain(
        self, tags: dict[int, list[int]], tag: int, record: Record, link: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        return self._records(self._offset(tags[tag][0]), record, link) if tag in tags else iter(())

    def _records(
        self, offset: int, record: Record, link: str
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """The records of a list whose links are distances to the next one, 0 at the end."""
        while self._versions_left:
            self._versions_left -= 1
            one = self._parse(record, offset, "a version")
            yield offset, one
            if not one[link]:
                return
            offset += one[link]
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
        for limit in (USUAL_STRING, MAX_STRING):
            self._stream.seek(offset)
            text, end, _ = self._stream.read(limit).partition(b"\0")
            if end:
                self._names_left -= len(text)
                if self._names_left < 0:
                    raise _Junk(f"its names have more than {MAX_NAMES:,} bytes together")
                try:
                    return text.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise _Junk("a name is not UTF-8") from error
        raise _Junk("a name has no end")

    def _parse(self, record: Record, offset: int, what: str) -> dict[str, Any]:
        return record.unpack(self._read(offset, record.size, what))

    def _read(self, offset: int, size: int, what: str) -> bytes:
        if not 0 <= offset <= self._size - size:
            raise _Junk(f"{what} lies outside the file")
        self._stream.seek(offset)
        data = self._stream.read(size)
        if len(data) < size:  # it was cut while it was read
            raise _Junk(f"{what} lies outside the file")
        return data


def _split(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _known(table: int | None) -> int:
    if table is None:
        raise _Junk("the dynamic segment has no string table")
    return table
