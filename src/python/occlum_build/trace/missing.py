"""What programs asked for that an image lacks, and that the root it is made from has."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import NamedTuple

from occlum_build.checks.root import Root
from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR, FILE, SYMLINK, Sources, resolve
from occlum_build.sysroot.dpkg import packages_of
from occlum_build.trace.calls import CREATE, ENTER, EXEC, LINK, OPEN
from occlum_build.trace.closure import brought
from occlum_build.trace.interpreters import interpreters
from occlum_build.trace.probes import (
    LIBRARY,
    LOOKED,
    REFUSED,
    is_at_run_time,
    reason_to_leave_out,
)
from occlum_build.trace.processes import Ask
from occlum_build.trace.record import Record

MADE = "made"  # a directory that is to be there, whatever is in it
_USES, _USES_DIR = (EXEC, OPEN), (ENTER,)
_WRITTEN = ("/run", "/tmp")  # directories that an image may have, to be written to
_MOST_BELOW = 2000  # files of a directory that is looked at as a whole


class By(NamedTuple):
    """Who asked, and how; of a kind of KINDS."""

    program: str
    kind: str


@dataclass(frozen=True)
class Finding:
    """`path` is lacking in the image, and `source` is what the root has for it.

    `kind` is FILE, DIR for one with all that is in it, or MADE, then of `mode`.
    """

    path: str
    source: str
    kind: str
    asked: tuple[By, ...] = ()
    mode: int = 0o755
    package: str = ""
    version: str = ""


@dataclass(frozen=True)
class Missing:
    """What is missing, what was left out and why, and how many paths neither side has."""

    found: tuple[Finding, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)  # path -> reason
    absent: int = 0


class _Search:
    def __init__(self, image: Root, root: Sources) -> None:
        self.image, self.root = image, root
        self.found: dict[str, Finding] = {}
        self.left_out: dict[str, str] = {}
        self.absent: set[str] = set()

    def place(self, ask: Ask) -> str | None:
        """Where in the image something lacks for an ask, links followed; None where nothing."""
        path = posixpath.normpath(ask.path) if ask.kind == LINK else ask.path
        if ask.kind == LINK:
            parent = self.image.follow(posixpath.dirname(path))
            path = posixpath.join(parent.path, posixpath.basename(path))
            return None if parent.is_there and self.image.at(path) else posixpath.normpath(path)
        found = self.image.follow(path)
        return None if found.is_there or found.is_loop else posixpath.normpath(found.path)

    def look(self, ask: Ask, asked: set[str]) -> None:
        place = self.place(ask)
        if place is None or (is_at_run_time(place) and ask.kind != CREATE):
            return
        try:
            if ask.kind == CREATE:
                self._look_for_place_of(place, ask)
            else:
                self._look_for(place, ask, asked)
        except OcclumError:  # as of root's own files, when somebody else traces
            refused = posixpath.dirname(place) if ask.kind == CREATE else place
            self.left_out.setdefault(refused, REFUSED)

    def _look_for(self, place: str, ask: Ask, asked: set[str]) -> None:
        source = place if resolve(self.root, place) is not None else ask.path
        real = resolve(self.root, source)
        stat = self.root.lstat(real) if real is not None else None
        if real is None or stat is None or stat.kind not in (DIR, FILE):
            self.absent.add(place)
            return
        reason = reason_to_leave_out(place, asked)
        is_used = ask.kind in (_USES_DIR if stat.kind == DIR else _USES)
        if not reason and ask.is_found and not is_used:
            reason = LOOKED
        if reason:
            self.left_out.setdefault(place, reason)
            return
        kind, mode = stat.kind, 0o755
        if kind == DIR and (ask.kind == ENTER or not self.root.names(real)):
            kind, mode = MADE, stat.mode
        self._add(Finding(place, posixpath.normpath(source), kind, mode=mode), By(ask.by, ask.kind))

    def _look_for_place_of(self, place: str, ask: Ask) -> None:
        """A file that is to be written needs its directory."""
        parent = posixpath.dirname(place)
        if self.image.kind(parent) or (is_at_run_time(parent) and parent not in _WRITTEN):
            return
        real = resolve(self.root, parent)
        stat = self.root.lstat(real) if real is not None else None
        if stat is None or stat.kind != DIR:
            self.absent.add(place)
            return
        reason = reason_to_leave_out(parent, ())
        if reason:  # as a program that writes its cache anew
            self.left_out.setdefault(parent, reason)
            return
        self._add(Finding(parent, parent, MADE, mode=stat.mode), By(ask.by, ask.kind))

    def _add(self, finding: Finding, by: By) -> None:
        known = self.found.get(finding.path, finding)
        kind = finding.kind if known.kind == MADE else known.kind
        asked = tuple(sorted({*known.asked, by}))
        self.found[finding.path] = replace(known, kind=kind, source=finding.source, asked=asked)

    def add_interpreters(self, asks: Iterable[Ask]) -> None:
        """What the kernel opens for a program, which no call tells."""
        for path in sorted({one.path for one in asks if one.kind == EXEC}):
            for interpreter in interpreters(self.image, self.root, path):
                self.look(Ask(interpreter, path, EXEC, is_found=False), set())


def find_missing(record: Record, image: Root, root: Sources) -> Missing:
    """Compare what was asked for with the image and its root, all sorted.

    Raises OcclumError where the database of packages cannot be read.
    """
    search = _Search(image, root)
    asked_by: dict[str, set[str]] = {}
    for ask in record.asks:
        asked_by.setdefault(ask.by, set()).add(ask.path)
    for ask in sorted(record.asks):
        search.look(ask, asked_by[ask.by])
    search.add_interpreters(record.asks)
    found = _without_twins(search.found, record, root)
    left_out = {path: why for path, why in search.left_out.items() if path not in found}
    for path in brought(found.values(), root):
        left_out[path] = LIBRARY
        del found[path]
    found = _whole_directories(found, image, root)
    above = {parent for path in found for parent in _parents(path)}
    told = {
        path: why for path, why in sorted(left_out.items()) if why != LOOKED or path not in above
    }
    return Missing(_with_packages(found, root), told, len(search.absent))


def _without_twins(
    found: Mapping[str, Finding], record: Record, root: Sources
) -> dict[str, Finding]:
    """Of places where a program looked in vain for the same file one is enough: it is a search."""
    was_there = {ask.path for ask in record.asks if ask.is_found}
    kept: dict[str, Finding] = {}
    seen: set[tuple[str, tuple[By, ...]]] = set()
    for path, one in sorted(found.items()):
        key = (resolve(root, one.source) or path, one.asked)
        if path in was_there or one.kind != FILE or key not in seen:
            kept[path] = one
            seen.add(key)
    return kept


def _whole_directories(
    found: Mapping[str, Finding], image: Root, root: Sources
) -> dict[str, Finding]:
    """Directories that the image lacks, in place of their files where all of these were used."""
    whole: dict[str, bool] = {}
    kept: dict[str, Finding] = {}
    for path, one in sorted(found.items()):
        top = one.path
        for parent in _parents(path):
            if image.kind(parent) or not _is_whole(parent, found, root, whole):
                break
            top = parent
        if top == path:
            kept.setdefault(path, one)
        else:
            known = kept.get(top, Finding(top, top, DIR))
            kept[top] = replace(
                known, source=top, kind=DIR, asked=tuple(sorted({*known.asked, *one.asked}))
            )
    directories = [path for path, one in kept.items() if one.kind == DIR]
    inside = {path for path in kept for one in directories if path.startswith(f"{one}/")}
    return {path: one for path, one in sorted(kept.items()) if path not in inside}


def _is_whole(
    directory: str, found: Mapping[str, Finding], root: Sources, known: dict[str, bool]
) -> bool:
    if directory not in known:
        files = list(_files_below(directory, root))
        known[directory] = 1 < len(files) <= _MOST_BELOW and all(one in found for one in files)
    return known[directory]


def _files_below(directory: str, root: Sources) -> Iterator[str]:
    """All but directories in one of the root, some more than _MOST_BELOW at most."""
    pending, number = [directory], 0
    while pending and number <= _MOST_BELOW:
        path = pending.pop()
        try:
            children = _children(path, root)
        except OcclumError:  # nobody can tell what is in it
            children = [(path, FILE)]
        for child, kind in children:
            if kind == DIR:
                pending.append(child)
            else:
                number += 1
                yield child


def _children(directory: str, root: Sources) -> list[tuple[str, str]]:
    """What a directory of the root has, without links to nothing: paths and kinds."""
    real = resolve(root, directory)
    found = []
    for name in root.names(real) if real is not None else ():
        child = posixpath.join(directory, name)
        stat = root.lstat(posixpath.join(real or "", name))
        if stat is None or stat.kind != SYMLINK or resolve(root, child) is not None:
            found.append((child, stat.kind if stat is not None else FILE))
    return found


def _parents(path: str) -> Iterator[str]:
    """The directories above, the nearest first, without the root."""
    while (path := posixpath.dirname(path)) != "/":
        yield path


def _with_packages(found: Mapping[str, Finding], root: Sources) -> tuple[Finding, ...]:
    """With the package that a file comes from, or all files of a directory, if it is one."""
    files = {
        path: [
            resolve(root, file) or file
            for file in (_files_below(one.source, root) if one.kind == DIR else (one.source,))
        ]
        for path, one in found.items()
        if one.kind != MADE
    }
    owners = packages_of(root, sorted({*chain(*files.values())})).owners if files else {}
    told = []
    for path, one in sorted(found.items()):
        of_all = {owners.get(file) for file in files.get(path, ())}
        owner = of_all.pop() if len(of_all) == 1 else None
        if owner is not None:
            one = replace(one, package=owner.package, version=owner.version)
        told.append(one)
    return tuple(told)
