"""Look libraries up in the sources, each path once for all programs of a run."""

from __future__ import annotations

import itertools
import posixpath
import sys
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from occlum_build.elf.budget import Budget
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.search import DEPENDS_ON_CWD, SearchDir
from occlum_build.sources.model import DIR, Sources, join, regular_file, resolve

MAX_TRIED = 100  # places where the libraries of a program were not found which are told
MAX_AHEAD = 500_000  # paths that are asked for before it is known whether there is such a directory
ABSENT = "does not exist"
NO_LIBRARY = "is no ELF shared object"

_T = TypeVar("_T")


class Remembered(Generic[_T]):
    """What an iterator gives, each time from the start, and no more of it than is asked for."""

    def __init__(self, rest: Iterator[_T]) -> None:
        self._known: list[_T] = []
        self._rest = rest

    def __iter__(self) -> Iterator[_T]:
        yield from self._known
        for one in self._rest:
            self._known.append(one)
            yield one


class Tried(NamedTuple):
    """A path that was considered, by which rule, and why it did not serve."""

    path: str
    rule: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.rule}): {self.reason}"


class Found(NamedTuple):
    """A library: the path it was found by, its content, facts, and the directory that led to it.

    `subdir` is the part between that directory and the name, as "glibc-hwcaps/x86-64-v2", or "".
    """

    path: str
    real: str
    facts: ElfFacts
    directory: SearchDir
    base: str  # the directory in normal form
    subdir: str = ""


class _Probe(NamedTuple):
    real: str = ""
    facts: ElfFacts | None = None
    reason: str = ""


_ABSENT = _Probe(reason=ABSENT)
_NO_PROBES: dict[str, _Probe] = {}  # of a directory that is not there


class _Directory(NamedTuple):
    """A directory in normal form, its real path, and what is known of its files by their names.

    `normal` is None where the path leaves the project, `real` where there is no such directory, or
    it `is_unknown` whether there is.
    """

    normal: str | None
    real: str | None
    is_unknown: bool
    probes: dict[str, _Probe]


class _Place(NamedTuple):
    """A directory that exists, by which one of a path it was found, and the part below that."""

    within: _Directory
    directory: SearchDir
    subdir: str


class SearchPath:
    """Directories that several names are looked for in, one after the other.

    Those that do not exist are passed over from the second name on.
    """

    def __init__(self, lookup: Lookup, dirs: tuple[SearchDir, ...], *, hwcaps: bool) -> None:
        self.dirs, self.hwcaps = dirs, hwcaps
        self.depends_on_cwd = any(one.refusal == DEPENDS_ON_CWD for one in dirs)
        self.unknown: list[str] = []  # of which it is still to be learnt whether they exist
        self.places = Remembered(lookup.places(self))


class Lookup:
    """Finds libraries in sources that do not change while it lives."""

    def __init__(
        self, sources: Sources, subdirs: tuple[str, ...], budget: Budget | None = None
    ) -> None:
        self._sources = sources
        self._subdirs = (*subdirs, "")
        self._dirs: dict[str, _Directory] = {}
        self._probes: dict[str, dict[str, _Probe]] = {}  # by real paths: many names may be of one
        self._others: set[str] = set()  # names of files that are no libraries
        self._ahead = 0
        self.budget = budget or Budget()

    def find(self, name: str, path: SearchPath, like: ElfFacts) -> Found | None:
        """The first file of that name, class and machine (of `like`)."""
        found = None
        for within, directory, subdir in path.places:
            probe = within.probes.get(name) or self._look(within, name, like)
            facts = probe.facts
            if facts is not None and not mismatch(facts, like):
                base = self._directory(directory.path).normal or ""
                source = sys.intern(posixpath.join(within.normal or "", name))  # kept of each need
                found = Found(source, probe.real, facts, directory, base, subdir)
                break
        if self._ahead < MAX_AHEAD:
            self._ahead += len(path.unknown)
            for unknown in path.unknown:
                self._sources.expect(posixpath.join(unknown, name))
        return found

    def has_other(self, name: str, path: SearchPath) -> bool:
        """Whether one of the places has a file that is no library."""
        if name not in self._others:
            return False
        probes = (place.within.probes.get(name) for place in path.places)
        return any(one is not None and one.reason == NO_LIBRARY for one in probes)

    def tried(
        self, name: str, path: SearchPath, like: ElfFacts, most: int = MAX_TRIED
    ) -> tuple[Tried, ...]:
        """What `find` tries and does not take, the first of that."""
        return tuple(itertools.islice(self._tried(name, path, like), most))

    def _tried(self, name: str, path: SearchPath, like: ElfFacts) -> Iterator[Tried]:
        for directory in path.dirs:
            if directory.refusal:
                refused = posixpath.join(directory.path, name)
                yield Tried(refused, directory.rule, directory.refusal)
                continue
            for subdir, shown, within in self._within(directory, path.hwcaps):
                reason = self._reason(within, name, like)
                if not subdir or reason != ABSENT:
                    base = shown if within.normal is None else within.normal
                    yield Tried(posixpath.join(base, name), directory.rule, reason)

    def _reason(self, within: _Directory, name: str, like: ElfFacts) -> str:
        if within.real is None:
            return "leaves the project" if within.normal is None else ABSENT
        probe = within.probes.get(name) or self._look(within, name, like)
        return probe.reason or mismatch(probe.facts, like)

    def places(self, path: SearchPath) -> Iterator[_Place]:
        """The directories of a path that exist, each looked at when it is its turn."""
        for directory in path.dirs:
            if directory.refusal:
                continue
            for subdir, _, within in self._within(directory, path.hwcaps):
                if within.real is not None:
                    yield _Place(within, directory, subdir)
                elif within.is_unknown and within.normal is not None:
                    path.unknown.append(within.normal)

    def _within(self, directory: SearchDir, hwcaps: bool) -> Iterator[tuple[str, str, _Directory]]:
        for subdir in self._subdirs if hwcaps else ("",):
            path = posixpath.join(directory.path, subdir) if subdir else directory.path
            yield subdir, path, self._directory(path)

    def _directory(self, path: str) -> _Directory:
        """What is known of a directory.

        `..` after a link to a directory is the parent of the link's target, so that the normal
        form may name another directory; then the real path stands for it.
        """
        if path not in self._dirs:
            self.budget.remember(path)
            normal, real = join("", path), resolve(self._sources, path)
            if real is not None and (normal is None or resolve(self._sources, normal) != real):
                normal = real
            if real is not None and real not in ("", "/"):
                found = self._sources.lstat(real)
                real = real if found is not None and found.kind == DIR else None
            probes = _NO_PROBES if real is None else self._probes.setdefault(real, {})
            is_unknown = real is None and bool(self._sources.expect(path))
            self._dirs[path] = _Directory(normal, real, is_unknown, probes)
        return self._dirs[path]

    def _look(self, within: _Directory, name: str, like: ElfFacts) -> _Probe:
        path = posixpath.join(within.normal or "", name)
        self._sources.expect(path)
        probe = self._content(posixpath.join(within.real or "", name))
        if mismatch(probe.facts, like):
            self.budget.looked_in_vain(path)
        if probe.reason == NO_LIBRARY:
            self._others.add(name)
        within.probes[name] = probe
        return probe

    def _content(self, path: str) -> _Probe:
        if self._sources.lstat(path) is None:
            return _ABSENT
        real = regular_file(self._sources, path)
        if real is None:
            return _Probe(reason="is no regular file")
        facts = self._sources.facts(real)
        if facts is None or not facts.loadable:
            return _Probe(reason=NO_LIBRARY)
        return _Probe(real, facts)


def mismatch(facts: ElfFacts | None, like: ElfFacts) -> str:
    """Why a loader that has loaded `like` passes over a library, "" where it does not."""
    if facts is None or not facts.loadable:
        return NO_LIBRARY
    if facts.elf_class != like.elf_class:
        return f"wrong class ({facts.elf_class} bit)"
    return "" if facts.machine == like.machine else f"wrong machine ({facts.machine})"
