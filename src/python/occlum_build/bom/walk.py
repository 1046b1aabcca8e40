"""What a directory copy brings: rsync's `-ar --copy-unsafe-links --exclude=...` over source trees."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Iterator

from occlum_build.bom.excludes import Excluded
from occlum_build.bom.operations import CopyDir
from occlum_build.errors import OcclumError, Report
from occlum_build.sources import DIR, FILE, SYMLINK, SourceStat, Sources, resolve


@dataclass(frozen=True)
class WalkEntry:
    """One entry of a copied tree; `path` is relative to the copy's destination directory.

    The path "" is the destination itself, which takes the mode of a source copied by its contents.
    """

    path: str
    source: str  # real source path
    stat: SourceStat


def walk_copy(
    sources: Sources, operation: CopyDir, excluded: Excluded, report: Report
) -> Iterator[WalkEntry]:
    """The entries of a directory copy, parents before children, sorted by name in each directory."""
    walker = _Walker(sources, operation, excluded, report)
    sources.expect(operation.source, tree=True)
    contents_only = operation.contents_only
    real = resolve(sources, operation.source, follow_last=contents_only)
    stat = sources.lstat(real) if real is not None else None
    if real is None or stat is None:
        walker.fail(f"there is no directory {operation.source or '.'}")
    elif not contents_only:
        yield from walker.entry(posixpath.basename(operation.source), real, stat, (real,))
    elif stat.kind != DIR:
        walker.fail(f"{operation.source} is not a directory", "leave the trailing slash out")
    else:
        yield WalkEntry("", real, stat)
        yield from walker.children("", real, (real,))


@dataclass(frozen=True)
class _Walker:
    sources: Sources
    operation: CopyDir
    excluded: Excluded
    report: Report

    def children(self, path: str, real: str, followed: tuple[str, ...]) -> Iterator[WalkEntry]:
        try:
            names = self.sources.names(real)
        except OcclumError as error:
            self.fail(error.problems[0].message)
            return
        for name in names:
            source = posixpath.join(real, name)
            if not _is_utf8(name):
                shown = source.encode("utf-8", "backslashreplace").decode()
                self.fail(f"the name {shown} is not UTF-8", "the secure file system holds only UTF-8")
                continue
            stat = self.sources.lstat(source)
            if stat is not None:
                yield from self.entry(posixpath.join(path, name), source, stat, followed)

    def entry(
        self, path: str, source: str, stat: SourceStat, followed: tuple[str, ...]
    ) -> Iterator[WalkEntry]:
        """One entry and what is below it; `followed` are the real directories we came through."""
        if stat.kind == SYMLINK and is_unsafe_link(path, stat.target):
            real = resolve(self.sources, source)
            referent = self.sources.lstat(real) if real is not None else None
            if real is None or referent is None:
                if not self.excluded(path, False):
                    self.warn(f"the link {source} -> {stat.target} dangles; it is kept as it is")
                    yield WalkEntry(path, source, stat)
                return
            if referent.kind == DIR and any(_is_below(seen, real) for seen in (*followed, source)):
                if not self.excluded(path, True):
                    self.fail(
                        f"the link {source} -> {stat.target} leads back to a directory above it",
                        "exclude it",
                    )
                return
            source, stat, followed = real, referent, (*followed, source)
            self.sources.expect(source, tree=stat.kind == DIR)
        if self.excluded(path, stat.kind == DIR):
            return
        if stat.kind not in (FILE, DIR, SYMLINK):
            self.warn(f"{source} is a {stat.kind} and is left out")
            return
        yield WalkEntry(path, source, stat)
        if stat.kind == DIR:
            yield from self.children(path, source, followed)

    def fail(self, message: str, hint: str = "") -> None:
        self.report.error("directory", message, self.operation.place, hint)

    def warn(self, message: str) -> None:
        self.report.warn("directory", message, self.operation.place)


def is_unsafe_link(path: str, target: str) -> bool:
    """rsync's rule for --copy-unsafe-links: does the link at `path` leave the transfer?

    Unsafe are absolute targets, those that climb above the transfer's root, and (since rsync 3.4)
    those with a `..` behind another component.
    """
    if not target or target.startswith("/"):
        return True
    parts = [part for part in target.split("/") if part]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    return ".." in parts[climbs:] or climbs > path.count("/")


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _is_utf8(name: str) -> bool:
    if name.isascii():
        return True
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
