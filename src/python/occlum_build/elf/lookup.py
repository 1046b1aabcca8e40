"""Look libraries up in the sources, each path once for all programs of a run."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.search import SearchDir
from occlum_build.sources.model import Sources, join, regular_file, resolve

MAX_TRIED = 100  # places of a library that is not found which are told
NO_LIBRARY = "is no ELF shared object"


@dataclass(frozen=True)
class Tried:
    """A path that was considered, by which rule, and why it did not serve."""

    path: str
    rule: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.rule}): {self.reason}"


@dataclass(frozen=True)
class Found:
    """A library: the path it was found by, its content, facts, and the directory that led to it.

    `subdir` is the part between that directory and the name, as "glibc-hwcaps/x86-64-v2", or "".
    """

    path: str
    real: str
    facts: ElfFacts
    directory: SearchDir
    base: str  # the directory in normal form
    subdir: str = ""


@dataclass(frozen=True)
class _Probe:
    real: str = ""
    facts: ElfFacts | None = None
    reason: str = ""


_ABSENT = _Probe(reason="does not exist")


class Lookup:
    """Finds libraries in sources that do not change while it lives."""

    def __init__(self, sources: Sources, subdirs: tuple[str, ...]) -> None:
        self._sources = sources
        self._subdirs = (*subdirs, "")
        self._dirs: dict[str, tuple[str | None, str | None]] = {}
        self._probes: dict[str, _Probe] = {}
        self._found: dict[tuple[object, ...], Found | None] = {}

    def find(
        self, name: str, dirs: tuple[SearchDir, ...], like: ElfFacts, *, hwcaps: bool
    ) -> Found | None:
        """The first file of that name, class and machine (of `like`)."""
        key = (name, dirs, like.elf_class, like.machine, hwcaps)
        if key not in self._found:
            steps = self._search(name, dirs, like, self._subdirs if hwcaps else ("",))
            self._found[key] = next((one for one in steps if isinstance(one, Found)), None)
        return self._found[key]

    def tried(
        self, name: str, dirs: tuple[SearchDir, ...], like: ElfFacts, *, hwcaps: bool
    ) -> tuple[Tried, ...]:
        """The first MAX_TRIED of what `find` tries."""
        steps = self._search(name, dirs, like, self._subdirs if hwcaps else ("",))
        tried = (one for one in steps if isinstance(one, Tried))
        return tuple(itertools.islice(tried, MAX_TRIED))

    def _search(
        self, name: str, dirs: tuple[SearchDir, ...], like: ElfFacts, subdirs: tuple[str, ...]
    ) -> Iterator[Found | Tried]:
        """What does not serve, and the first that does."""
        for directory in dirs:
            if directory.refusal:
                path = posixpath.join(directory.path, name)
                yield Tried(path, directory.rule, directory.refusal)
                continue
            base, _ = self._directory(directory.path)
            for subdir in subdirs:
                within = posixpath.join(directory.path, subdir) if subdir else directory.path
                path, probe = self._probe(within, name)
                reason = probe.reason or mismatch(probe.facts, like)
                if not reason and probe.facts is not None:
                    yield Found(path, probe.real, probe.facts, directory, base or "", subdir)
                    return
                if not subdir or reason != "does not exist":
                    yield Tried(path, directory.rule, reason)

    def _directory(self, path: str) -> tuple[str | None, str | None]:
        """A directory in normal form and its real path; None where it leaves or does not exist.

        `..` after a link to a directory is the parent of the link's target, so that the normal
        form may name another directory; then the real path stands for it.
        """
        if path not in self._dirs:
            normal, real = join("", path), resolve(self._sources, path)
            if real is not None and (normal is None or resolve(self._sources, normal) != real):
                normal = real
            self._dirs[path] = normal, real
        return self._dirs[path]

    def _probe(self, directory: str, name: str) -> tuple[str, _Probe]:
        normal, real = self._directory(directory)
        if normal is None:
            return posixpath.join(directory, name), _Probe(reason="leaves the project")
        path = posixpath.join(normal, name)
        if path not in self._probes:
            self._sources.expect(path)
            if real is None:
                return path, _ABSENT
            self._probes[path] = self._content(posixpath.join(real, name))
        return path, self._probes[path]

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
