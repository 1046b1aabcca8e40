"""Views of source trees for tests: the machine itself, and one that is made up in memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from occlum_build.elf import layout
from occlum_build.elf.facts import Archive, ElfFacts, Malformed, Script, script_of
from occlum_build.elf.ld_so_cache import ENTRY, HEADER, MAGIC
from occlum_build.elf.read import read_facts
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.sources.model import DIR, FILE, OTHER, SYMLINK, SourceStat


class HostView:
    """Sources: absolute paths below `sysroot`, relative ones below `project`."""

    def __init__(self, project: str = "/nonexistent", sysroot: str = "/") -> None:
        self._project, self._sysroot = project, sysroot
        self._facts: dict[str, ElfFacts | Malformed | None] = {}
        self.expected: list[str] = []

    def _host(self, path: str) -> str:
        base = self._sysroot if path.startswith("/") else self._project
        return os.path.join(base, path.lstrip("/"))

    def expect(self, path: str, *, tree: bool = False) -> None:
        self.expected.append(path)

    def lstat(self, path: str) -> SourceStat | None:
        try:
            found = os.lstat(self._host(path))
        except OSError:
            return None
        kinds = {stat.S_IFREG: FILE, stat.S_IFDIR: DIR, stat.S_IFLNK: SYMLINK}
        kind = kinds.get(stat.S_IFMT(found.st_mode), OTHER)
        target = os.readlink(self._host(path)) if kind == SYMLINK else ""
        return SourceStat(kind, stat.S_IMODE(found.st_mode), found.st_size, target)

    def names(self, path: str) -> Sequence[str]:
        return sorted(os.listdir(self._host(path)))

    def sha256(self, path: str) -> str:
        raise NotImplementedError(path)

    def facts(self, path: str) -> ElfFacts | None:
        found = self._read_facts(path)
        return found if isinstance(found, ElfFacts) else None

    def malformed(self, path: str) -> str:
        found = self._read_facts(path)
        return found.reason if isinstance(found, Malformed) else ""

    def archive(self, path: str) -> Archive | None:
        return None

    def script(self, path: str) -> Script | None:
        return script_of(self.read(path) or b"")

    def _read_facts(self, path: str) -> ElfFacts | Malformed | None:
        if path not in self._facts:
            with open(self._host(path), "rb") as stream:
                self._facts[path] = read_facts(stream)
        return self._facts[path]

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes | None:
        with open(self._host(path), "rb") as stream:
            return stream.read()


class MemoryView:
    """Sources of path -> facts, content of a text file, or "-> TARGET" for a link."""

    def __init__(self, entries: dict[str, ElfFacts | bytes | str]) -> None:
        self.entries = entries

    def expect(self, path: str, *, tree: bool = False) -> None:
        pass

    def lstat(self, path: str) -> SourceStat | None:
        entry = self.entries.get(path)
        if isinstance(entry, str):
            return SourceStat(SYMLINK, target=entry[3:])
        if entry is not None:
            return SourceStat(FILE)
        below = path.rstrip("/") + "/"
        return SourceStat(DIR) if any(one.startswith(below) for one in self.entries) else None

    def names(self, path: str) -> Sequence[str]:
        below = path.rstrip("/") + "/"
        found = (one[len(below) :] for one in self.entries if one.startswith(below))
        return sorted({one.split("/")[0] for one in found})

    def sha256(self, path: str) -> str:
        raise NotImplementedError(path)

    def facts(self, path: str) -> ElfFacts | None:
        entry = self.entries[path]
        return entry if isinstance(entry, ElfFacts) else None

    def malformed(self, path: str) -> str:
        return ""

    def archive(self, path: str) -> Archive | None:
        return None

    def script(self, path: str) -> Script | None:
        return script_of(self.read(path) or b"")

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes | None:
        entry = self.entries[path]
        return entry if isinstance(entry, bytes) else None


def ld_so_cache(*entries: tuple[int, int, str, str], before: bytes = b"") -> bytes:
    """glibc's cache of (flags, hwcap, name, path)."""
    table, strings = b"", b""
    start = HEADER.size + len(entries) * ENTRY.size
    for flags, hwcap, name, path in entries:
        key = start + len(strings)
        strings += f"{name}\0{path}\0".encode()
        value = key + len(name) + 1
        table += ENTRY.pack(flags=flags, hwcap=hwcap, key=key, value=value)
    header = MAGIC + HEADER.pack(nlibs=len(entries))[len(MAGIC) :]
    return before + header + table + strings


def elf_of(tags: list[tuple[int, int]], data: bytes) -> bytes:
    """A shared object whose dynamic segment stands before `data`; values are offsets in `data`."""
    records = layout.layout_of(64, "<")
    headers = records.ehdr.size + 2 * records.phdr.size
    start = headers + (len(tags) + 2) * records.dyn.size
    names = (layout.DT_STRTAB, 0)
    dynamic = b"".join(
        records.dyn.pack(d_tag=tag, d_val=value + (start if tag in (5, layout.DT_VERNEED) else 0))
        for tag, value in [names, *tags, (0, 0)]
    )
    segments = [(layout.PT_LOAD, 0, start + len(data)), (layout.PT_DYNAMIC, headers, len(dynamic))]
    header = records.ehdr.pack(
        e_type=3, e_machine=62, e_phoff=records.ehdr.size, e_phentsize=records.phdr.size, e_phnum=2
    )
    ident = layout.MAGIC + bytes([2, 1, 1])
    table = b"".join(
        records.phdr.pack(p_type=kind, p_offset=at, p_vaddr=at, p_filesz=size)
        for kind, at, size in segments
    )
    return ident + header[len(ident) :] + table + dynamic + data


def elf_of_versions(count: int) -> bytes:
    """One that needs versions of so many libraries, of each those of all that stand behind it."""
    records = layout.layout_of(64, "<")
    need, aux = records.verneed.size, records.vernaux.size
    name = count * (need + aux)
    needs = b"".join(
        records.verneed.pack(
            vn_file=name, vn_aux=(count - at) * need, vn_next=need if at + 1 < count else 0
        )
        for at in range(count)
    )
    versions = b"".join(
        records.vernaux.pack(vna_flags=0, vna_name=name, vna_next=aux if at + 1 < count else 0)
        for at in range(count)
    )
    return elf_of([(layout.DT_VERNEED, 0)], needs + versions + b"a\0")
