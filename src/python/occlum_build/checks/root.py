"""An image as what it will be at boot: a root file system of its own, without the host."""

from __future__ import annotations

import bisect
import posixpath
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from occlum_build.elf.facts import Archive, ElfFacts, Script
from occlum_build.errors import Place
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.missing import Searched
from occlum_build.sources.model import MAX_LINKS, Sources, weigh
from occlum_build.sources.os import OsSources


def entries_below(sources: Sources, base: str, paths: Iterable[str] = ("",)) -> Iterator[Entry]:
    """What stands in a directory of the sources at relative paths, and all below these."""
    pending = list(paths)
    while pending:
        path = pending.pop()
        source = posixpath.join(base, path) if path else base
        stat = sources.lstat(source)
        if stat is None:
            continue
        if path:
            origin = Origin(Place(source), in_tree=True)
            yield Entry(path, stat.kind, origin, stat.mode, source, stat.size, stat.target)
        if stat.kind == DIR:
            pending += [posixpath.join(path, name) for name in sources.names(source)]


class Followed(NamedTuple):
    """Where a path leads: `path` is there, or it is where following the path came to nothing."""

    path: str
    is_there: bool
    is_loop: bool = False


class Root:
    """A root file system to look around in; every path is absolute and in it.

    What stands there is an `Entry` of an image, whose `source` is read by `sources`. Like these, it
    may be asked again when more is known (`sources.recorded`): nothing is kept that came of a
    content. `searched` is what planning tells of the image's libraries, None of a root file system
    that was not planned.
    """

    def __init__(
        self, entries: Iterable[Entry], sources: Sources, searched: Searched | None = None
    ) -> None:
        self.sources = sources
        self.is_planned, self.searched = searched is not None, searched or Searched()
        self._entries = {f"/{entry.path}": entry for entry in entries}
        for path in list(self._entries):
            parent = path.rpartition("/")[0] or "/"
            while parent not in self._entries:
                self._entries[parent] = Entry(parent[1:], DIR, self._entries[path].origin)
                parent = parent.rpartition("/")[0] or "/"

    @classmethod
    def of_directory(cls, directory: str) -> Root:
        """A directory of this machine that holds a root file system."""
        sources = OsSources(directory)
        return cls(entries_below(sources, "/"), sources)

    @classmethod
    def of_paths(cls, entries: Iterable[Entry]) -> Root:
        """Entries of whose contents nothing will be asked."""
        from occlum_build.sources.recorded import RecordedSources

        return cls(entries, RecordedSources({}, {}, {}, {}))

    @cached_property
    def paths(self) -> Sequence[str]:
        """The paths of everything, sorted."""
        return sorted(self._entries)

    @cached_property
    def files(self) -> Sequence[str]:
        """The paths of the regular files, sorted."""
        return [path for path in self.paths if self._entries[path].kind == FILE]

    def at(self, path: str) -> Entry | None:
        """The entry at a path, no link followed."""
        return self._entries.get(path)

    def follow(self, path: str) -> Followed:
        """Follow a path and its links as a chroot would."""
        here, links = "/", 0
        pending = path.split("/")[::-1]
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                here = posixpath.dirname(here)
                continue
            child = posixpath.join(here, part)
            entry = self._entries.get(child)
            if entry is None:
                return Followed(posixpath.join(child, *pending[::-1]), False)
            if entry.kind == SYMLINK:
                links += 1
                if links > MAX_LINKS:
                    return Followed(child, False, is_loop=True)
                here = "/" if entry.target.startswith("/") else here
                pending += entry.target.split("/")[::-1]
            elif entry.kind != DIR and pending:
                return Followed(child, False)
            else:
                here = child
        return Followed(here, True)

    def resolve(self, path: str) -> str | None:
        """The path that one leads to, links followed as a chroot would; None where nothing is."""
        found = self.follow(path)
        return found.path if found.is_there else None

    def find(self, path: str) -> Entry | None:
        """The entry that a path leads to, links followed; None where nothing is."""
        real = self.resolve(path)
        return self._entries.get(real) if real is not None else None

    def kind(self, path: str) -> str:
        """The kind of what a path leads to, links followed; "" where nothing is."""
        real = self.resolve(path)
        if real is None:
            return ""
        return DIR if real == "/" else self._entries[real].kind

    def facts(self, path: str) -> ElfFacts | None:
        """The ELF facts of the file that a path leads to; None where it leads to no ELF file."""
        found = self._file(path)
        return self.sources.facts(found.source) if found is not None else None

    def archive(self, path: str) -> Archive | None:
        """What the zip archive that a path leads to holds of ELF files; None for any other file."""
        found = self._file(path)
        return self.sources.archive(found.source) if found is not None else None

    def malformed(self, path: str) -> str:
        """What is wrong with the file that a path leads to, if it looks like ELF and is none."""
        found = self._file(path)
        return self.sources.malformed(found.source) if found is not None else ""

    def script(self, path: str) -> Script | None:
        """The `#!` line of the file that a path leads to, also of an archive; None for others."""
        found = self._file(path)
        if found is None:
            return None
        archive = self.sources.archive(found.source)
        if archive is not None:
            return Script(archive.interpreter) if archive.interpreter else None
        return self.sources.script(found.source)

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes | None:
        """The content of the file that a path leads to; None where it cannot be known.

        One of more bytes is not read: an image may have it, and no check can tell anything of it.
        """
        found = self._file(path)
        if found is None or self.size(found) > limit:
            return None
        return self.sources.read(found.source, limit)

    def size(self, entry: Entry) -> int:
        """The size of an entry, in bytes, for who decides by it."""
        weigh(self.sources, entry.source)
        return entry.size

    def lines(self, path: str, comment: str = "#") -> list[str]:
        """The lines of a text file without comments and blanks around them."""
        text = (self.read(path) or b"").decode("utf-8", "replace")
        return [line.partition(comment)[0].strip() for line in text.splitlines()]

    @property
    def names(self) -> Collection[str]:
        """The base names of all that is no directory."""
        return self._by_name.keys()

    def named(self, name: str, *, links: bool = False) -> Sequence[str]:
        """The sorted paths of the regular files with a base name; `links` may dangle."""
        found = self._by_name.get(name, ())
        return found if links else [path for path in found if self._entries[path].kind == FILE]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for path in self.paths:
            if self._entries[path].kind != DIR:
                by_name.setdefault(path.rpartition("/")[2], []).append(path)
        return by_name

    def children(self, path: str) -> list[str]:
        """The sorted names in the directory that a path leads to."""
        real = self.resolve(path)
        inside = (one for one in self.paths if posixpath.dirname(one) == real and one != "/")
        return sorted(posixpath.basename(one) for one in inside)

    def below(self, directory: str) -> list[str]:
        """The sorted paths of the regular files in and below a directory."""
        prefix = directory.rstrip("/")
        first = bisect.bisect_left(self.files, f"{prefix}/")
        return list(self.files[first : bisect.bisect_left(self.files, f"{prefix}0")])  # behind "/"

    def _file(self, path: str) -> Entry | None:
        found = self.find(path)
        return found if found is not None and found.kind == FILE else None
