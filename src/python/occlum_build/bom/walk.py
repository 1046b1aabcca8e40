"""What a directory copy brings: rsync's `-ar --copy-unsafe-links --exclude=...` over sources."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import NamedTuple

from occlum_build.bom.excludes import Excluded
from occlum_build.bom.looked import Again, Looked
from occlum_build.bom.names import is_utf8
from occlum_build.bom.operations import CopyDir
from occlum_build.bom.variables import PATH_BYTES
from occlum_build.errors import OcclumError, Report
from occlum_build.shown import escaped
from occlum_build.sources.model import (
    DIR,
    FILE,
    SYMLINK,
    Sources,
    SourceStat,
    hint_for_missing,
    kind_name,
    resolve,
)

_PLAIN = (FILE, DIR)
_HELD = (*_PLAIN, SYMLINK)
_ONLY_UTF8 = "the secure file system holds only UTF-8; exclude it or give it another name"


class WalkEntry(NamedTuple):
    """One entry of a copied tree; `path` is relative to the copy's destination directory.

    The path "" is the destination itself, which takes the mode of a source copied by its contents.
    """

    path: str
    source: str  # real source path
    stat: SourceStat


def walk_copy(
    sources: Sources,
    operation: CopyDir,
    excluded: Excluded,
    report: Report,
    *,
    keep_link: bool = False,
    looked: Looked | None = None,
) -> Iterator[WalkEntry]:
    """The entries of a directory copy, parents before children, sorted in each directory.

    Where the source is a link, what it leads to is copied under its name, or with `keep_link` the
    link itself. Raises TooMuch `directory` where there are too many, by what `looked` counts.
    """
    looked = looked or Looked()
    walker = _Walker(sources, operation, excluded, report, looked, Again(looked))
    sources.expect(operation.source, tree=True)
    contents_only = operation.contents_only
    real = resolve(sources, operation.source, follow_last=contents_only)
    stat = sources.lstat(real) if real is not None else None
    if real is None or stat is None:
        message = f"there is no directory {operation.source or '.'}"
        hint = hint_for_missing(sources, operation.source, operation.base, len(report.errors))
        report.error("directory", message, operation.place, hint, missing=(operation.source,))
    elif not contents_only:
        name = posixpath.basename(operation.source)
        is_followed = stat.kind == SYMLINK and not keep_link
        yield from walker.tree(iter([(name, real, stat, _Way((real,)))]), is_followed=is_followed)
    elif stat.kind != DIR:
        walker.fail(f"{operation.source} is not a directory", "a file goes under `files`")
    else:
        yield WalkEntry("", real, stat)
        yield from walker.tree(walker.children("", real, _Way((real,))))


class _Way(NamedTuple):
    """How the walk came to where it is.

    `followed` are the real directories and links that it came through, `top` the path of the last
    directory that a link led to: links in it may point to what is below, and to nothing else.
    """

    followed: tuple[str, ...]
    top: str = ""


# One entry still to be looked at: its path, real source path and stat, and the way to it.
_Found = tuple[str, str, SourceStat, _Way]


class _Walker(NamedTuple):
    sources: Sources
    operation: CopyDir
    excluded: Excluded
    report: Report
    looked: Looked
    again: Again

    def tree(self, found: Iterator[_Found], *, is_followed: bool = False) -> Iterator[WalkEntry]:
        """What was found and all that is below it; of any depth.

        The first entry may be a link that is to be followed wherever it leads.
        """
        pending = [found]
        while pending:
            following = next(pending[-1], None)
            if following is None:
                pending.pop()
                continue
            path, source, stat, way = following
            if stat.kind in _PLAIN and path.isascii() and not is_followed:  # nearly all of them
                if self.excluded(path, stat.kind == DIR):
                    continue
                entry = WalkEntry(path, source, stat)
            else:
                taken = self.take(*following, is_followed=is_followed)
                is_followed = False
                if taken is None:
                    continue
                entry, way = taken
            yield entry
            # Of a path that no kernel takes, a check tells; what is below it is of no use either.
            if entry.stat.kind == DIR and len(entry.path) <= PATH_BYTES:
                pending.append(self.children(entry.path, entry.source, way))

    def children(self, path: str, real: str, way: _Way) -> Iterator[_Found]:
        above, real_above = path and f"{path}/", real and f"{real.rstrip('/')}/"
        lstat = self.sources.lstat
        try:
            names = self.sources.names(real)
        except OcclumError as error:
            self.fail(error.problems[0].message)
            return
        self.looked.listed(path, names)
        self.again.listed(path, real, names)
        for name in names:
            source = real_above + name
            try:
                stat = lstat(source)
            except OcclumError as error:
                self.fail(error.problems[0].message)
                return
            if stat is None:
                self.fail(f"{source} has gone, or its path is too long")
            else:
                yield above + name, source, stat, way

    def take(
        self, path: str, source: str, stat: SourceStat, way: _Way, *, is_followed: bool
    ) -> tuple[WalkEntry, _Way] | None:
        """The entry as it is copied, or None when it is left out."""
        if stat.kind == SYMLINK and (is_followed or _leaves(path, stat.target, way)):
            real = resolve(self.sources, source)
            referent = self.sources.lstat(real) if real is not None else None
            must_follow = is_followed or is_unsafe_link(path, stat.target)
            if real is None or referent is None:
                if is_followed and not self.operation.wildcard:
                    self.fail_at_link(path, source, stat, "leads to nothing", "correct it")
                    return None
            elif referent.kind != DIR or not any(
                _is_below(seen, real) for seen in (*way.followed, source)
            ):
                way = _Way((*way.followed, source), path)
                source, stat = real, referent
                self.sources.expect(source, tree=stat.kind == DIR)
            elif must_follow:
                problem = "leads back to a directory above it"
                self.fail_at_link(path, source, stat, problem, "exclude it")
                return None
        if self.excluded(path, stat.kind == DIR) or not self.can_be_held(path, source, stat):
            return None
        return WalkEntry(path, source, stat), way

    def fail_at_link(
        self, path: str, source: str, stat: SourceStat, problem: str, hint: str
    ) -> None:
        if not self.excluded(path, True):
            self.fail(f"the link {source} -> {stat.target} {problem}", hint)

    def can_be_held(self, path: str, source: str, stat: SourceStat) -> bool:
        """Can the secure file system hold the entry? Tells why not."""
        if stat.kind not in _HELD:
            self.warn(f"{source} is a {kind_name(stat.kind)} and is left out")
        elif not path.isascii() and not is_utf8(posixpath.basename(path)):
            self.fail(f"the name {escaped(source)} is not UTF-8", _ONLY_UTF8)
        elif stat.target and not is_utf8(stat.target):
            shown = escaped(f"{source} -> {stat.target}")
            self.fail(f"the target of the link {shown} is not UTF-8", _ONLY_UTF8)
        else:
            return True
        return False

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


def _leaves(path: str, target: str, way: _Way) -> bool:
    """Does the link at `path` lead out of what is copied with it, so that it cannot stay a link?"""
    return is_unsafe_link(path[len(way.top) :].lstrip("/"), target)


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
