"""Merges packages to one root, as dpkg would unpack them, and tells of what cannot be merged."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from occlum_build.elf.facts import Outcome, Script
from occlum_build.errors import Problem, Report
from occlum_build.packages.alternatives import Link
from occlum_build.packages.index import DebIndex, Entry
from occlum_build.packages.relations import Relation, groups_of
from occlum_build.shown import who
from occlum_build.sources.model import DIR, FILE, SYMLINK
from occlum_build.sysroot.lock import Lock, Pin

CODE = "packages-file"
MODE = "packages-mode"
_HINT = "leave one of the two packages out"
_BASE = "base-files"  # whose modes of directories count
_DIRECTORY = Entry(DIR, 0o755)


class MadeFile(NamedTuple):
    """A file of the root that no package has: its canonical path, and what it is of."""

    path: str
    mode: int
    size: int
    sha256: str
    by: str


@dataclass(frozen=True)
class PackagesRoot:
    """A root as it is made of packages.

    owners: path -> package, of all that one has. facts: SHA-256 of each file -> what it tells, None
    where that is nothing. told: warnings and notes.
    """

    lock: Lock
    owners: Mapping[str, str]
    facts: Mapping[str, Outcome]
    told: tuple[Problem, ...] = ()


class _Owned(NamedTuple):
    """An entry and the package that it is of, None for links and made files."""

    entry: Entry
    of: DebIndex | None


def merge(
    indexes: Iterable[DebIndex], links: Sequence[Link] = (), made: Sequence[MadeFile] = ()
) -> PackagesRoot:
    """The root of these packages; links and made files take the place of what packages have.

    Raises OcclumError `packages-file` for every path that cannot be in one root.
    """
    merger = _Merger()
    facts: dict[str, Outcome] = {}
    for index in sorted(indexes, key=lambda one: one.package):
        merger.add(index)
        facts.update(index.facts)
    for link in links:
        merger.put(link.path, Entry(SYMLINK, target=link.target), link.by)
    for file in made:
        merger.put(file.path, Entry(FILE, file.mode, file.size, file.sha256), file.by)
    merger.complete()
    merger.report.raise_errors()
    return merger.root(facts)


class _Merger:
    def __init__(self) -> None:
        self.report = Report()
        self._owned: dict[str, _Owned] = {}
        self._by: dict[str, str] = {}  # what made links and files are of
        self._packages: dict[str, DebIndex] = {}
        self._replaces: dict[str, tuple[Relation, ...]] = {}

    def add(self, index: DebIndex) -> None:
        if index.package in self._packages:
            other = self._packages[index.package]
            message = f"{other.name} and {index.name} are one package in two versions"
            self.report.error("packages-twice", message, hint=_HINT)
            return
        self._packages[index.package] = index
        groups = groups_of(index.control.get("Replaces", ""), index.architecture)
        self._replaces[index.package] = tuple(one for group in groups for one in group)
        for path, entry in index.entries.items():
            old = self._owned.setdefault(path, _Owned(entry, index))
            if old.entry != entry and old.of is not None:
                self._owned[path] = self._chosen(path, old.entry, old.of, entry, index)

    def _chosen(
        self, path: str, old: Entry, first: DebIndex, new: Entry, second: DebIndex
    ) -> _Owned:
        """Of two entries at a path the one that the root has; the first where there is an error."""
        kept, taken = _Owned(old, first), _Owned(new, second)
        if old.type == DIR and new.type == DIR:
            kept, taken = (taken, kept) if second.package == _BASE else (kept, taken)
            self._tell_mode(path, kept, taken)
            return kept
        replaces, is_replaced = self._is_over(second, first), self._is_over(first, second)
        if replaces != is_replaced and DIR not in (old.type, new.type):
            return taken if replaces else kept
        self._tell_conflict(path, old, first, new, second)
        return kept

    def _is_over(self, one: DebIndex, other: DebIndex) -> bool:
        """Whether a package may replace files of another (Debian Policy, 7.6.1)."""
        return any(
            relation.name == other.package and relation.accepts(other.version)
            for relation in self._replaces[one.package]
        )

    def _tell_mode(self, path: str, kept: _Owned, other: _Owned) -> None:
        if kept.of is None or other.of is None:
            return
        modes = f"{kept.entry.mode:04o} in {kept.of.name} and {other.entry.mode:04o}"
        message = f"{path} has mode {modes} in {other.of.name}: the first one counts"
        self.report.warn(MODE, message)

    def _tell_conflict(
        self, path: str, old: Entry, first: DebIndex, new: Entry, second: DebIndex
    ) -> None:
        for one, other in ((first, second), (second, first)):
            if path in one.diversions:
                message = f"{path} is in {first.name} and {second.name}; {one.name} diverts that of"
                hint = f"diversions are not imitated: {_HINT}"
                self.report.error(CODE, f"{message} {other.name}", hint=hint)
                return
        where = f"{path} is in {first.name} and {second.name}"
        if old.type != new.type:
            message = f"{where}, a {_kind(old.type)} in the first and a {_kind(new.type)}"
            message += " in the second"
        else:
            message = f"{where} with different {_difference(old, new)}"
            message += ", and neither replaces the other"
        self.report.error(CODE, message, hint=_HINT)

    def put(self, path: str, entry: Entry, by: str) -> None:
        if path in self._by and self._owned[path].entry != entry:
            message = f"{path} is made twice, for {self._by[path]} and for {by}"
            self.report.error(CODE, message)
            return
        self._owned[path] = _Owned(entry, None)
        self._by[path] = by

    def complete(self) -> None:
        """Add the directories that no package has; tell what is below something else."""
        below: dict[tuple[str, str], list[str]] = {}
        self._owned.setdefault("/", _Owned(_DIRECTORY, None))
        for path in sorted(self._owned):
            parent = posixpath.dirname(path)
            while parent not in self._owned:
                self._owned[parent] = _Owned(_DIRECTORY, None)
                parent = posixpath.dirname(parent)
            if path != "/" and self._owned[parent].entry.type != DIR:
                below.setdefault((parent, self._name(path)), []).append(path)
        for (parent, name), paths in below.items():
            kind = _kind(self._owned[parent].entry.type)
            what = f"{parent}, which is a {kind} of {self._name(parent)}"
            self.report.error(CODE, f"{who(paths)} of {name} would be below {what}", hint=_HINT)

    def _name(self, path: str) -> str:
        index = self._owned[path].of
        return index.name if index is not None else self._by.get(path, "no package")

    def root(self, facts: Mapping[str, Outcome]) -> PackagesRoot:
        pins: dict[str, Pin] = {}
        owners: dict[str, str] = {}
        of_files: dict[str, Outcome] = {}
        for path in sorted(self._owned):
            entry, index = self._owned[path]
            of = index
            if index is None and entry.type == FILE:  # it is made for a package
                of = self._packages.get(self._by[path])
            outcome = facts.get(entry.sha256)
            if index is not None:
                owners[path] = index.package
            if entry.type == FILE:
                of_files[entry.sha256] = outcome
            pins[path] = Pin(
                path,
                entry.type,
                entry.mode,
                entry.size,
                entry.sha256,
                outcome is not None and not isinstance(outcome, Script),
                entry.target,
                entry.type == DIR,
                *((of.package, of.version) if of is not None else ("", "")),
            )
        return PackagesRoot(Lock(pins), owners, of_files, tuple(self.report.warnings))


def _kind(kind: str) -> str:
    return {DIR: "directory", SYMLINK: "link"}.get(kind, kind)


def _difference(one: Entry, other: Entry) -> str:
    if one.type == SYMLINK:
        return "targets"
    return "modes" if one.sha256 == other.sha256 else "contents"
