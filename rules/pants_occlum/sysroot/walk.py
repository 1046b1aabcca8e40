"""A look at the files of the host below a root: at the asked paths and in the asked trees."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from occlum_build.shown import escaped
from occlum_build.sources.extras import holes_of, xattrs_of
from occlum_build.sources.model import DIR, FIFO, FILE, OTHER, SYMLINK, Sources, SourceStat, resolve
from pants_occlum.logs import logger_of
from pants_occlum.sysroot.glance import without_slash
from pants_occlum.sysroot.hash_memo import SETTLED_NS, HashMemo
from pants_occlum.sysroot.listing import Listing, host_path, list_directory

HASH_THREADS = 2
HASHED_IN_A_TURN = 64
IS_KEY = "it is a key that this build uses"
MUCH_BYTES = 64 << 20  # so much that a user who waits wants to know what for

logger = logger_of(__name__)


class KnownDirectory(NamedTuple):
    """A directory as an earlier look with the same request found it, the contents included."""

    fingerprint: bytes
    names: tuple[str, ...]
    entries: Mapping[str, SourceStat]
    directories: tuple[str, ...]  # real paths of those in it


@dataclass(frozen=True)
class Found:
    """What a look found. entries: path -> what stands there, None for nothing; names: the sorted
    names in each listed directory; errors: path -> why it could not be read; undecodable: what is
    not UTF-8 among the names and link targets, as Python writes bytes.
    """

    entries: Mapping[str, SourceStat | None]
    names: Mapping[str, tuple[str, ...]]
    errors: Mapping[str, str]
    undecodable: tuple[str, ...]

    def has(self, part: Found) -> bool:
        """Is what a look at some of the paths found the same?"""
        pairs = ((self.entries, part.entries), (self.names, part.names))
        return (
            all(path in all_ and all_[path] == one[path] for all_, one in pairs for path in one)
            and part.errors
            == {path: self.errors[path] for path in self.errors if path in part.entries}
            and part.undecodable == self.undecodable
        )


@dataclass
class SysrootWalk:
    """Collects entries below one root; links are followed as if the root were `/`.

    known: real path -> directory as it was before; where nobody touched anything in it since, its
    files are not looked at one by one. started_ns: the time of the look. keys: device and inode of
    files that are not read. glanced: real paths of trees that were glanced at before `known` was
    made and since; touched: the host's paths of the directories in them that differ, None for all.
    """

    root: str
    started_ns: int
    known: Mapping[str, KnownDirectory] = field(default_factory=dict)
    keys: Collection[tuple[int, int]] = ()
    glanced: Collection[str] = ()
    touched: Collection[bytes] | None = None
    entries: dict[str, SourceStat | None] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    undecodable: set[str] = field(default_factory=set)
    tops: list[str] = field(default_factory=list)  # real paths of the trees that were walked
    _aliases: dict[str, str] = field(default_factory=dict)
    _files: dict[str, os.stat_result] = field(default_factory=dict)
    _listings: dict[str, Listing] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)  # directories that are as they were known

    def probe(self, path: str) -> str | None:
        """Record a path, each component on the way and what its links lead to; give that last."""
        self._recorded("/")
        sources = cast(Sources, self)  # resolve() needs no more than expect and lstat
        itself = resolve(sources, path, follow_last=False)
        if itself is None:
            self.entries[path] = None
        else:
            self._aliases[path] = itself
            self.entries[path] = self.entries[itself]
        return resolve(sources, path)

    def walk(self, top: str) -> None:
        """Record a directory, to which `top` may be a link, and all below it."""
        pending = self._real_dir(top)
        self.tops += pending
        glanced = bool(pending) and pending[0] in self.glanced
        while pending:
            path = pending.pop()
            if not (glanced and self._is_untouched(path)):
                self.list_real(path)
            pending += [child for child in self._directories(path) if child not in self.names]

    def list_dir(self, top: str) -> None:
        """Record a directory, to which `top` may be a link, and the entries in it; after walk()."""
        for path in self._real_dir(top):
            self.list_real(path)

    def listed(self) -> list[str]:
        """What stands in the directories that are not as they were known."""
        return [child for top in self._listings for child in self._children(top)]

    def expect(self, path: str, *, tree: bool = False) -> None:
        """Nothing to prepare: each path is looked at as it is asked for."""

    def lstat(self, path: str) -> SourceStat | None:
        """The entry at a path whose parents are real directories."""
        return self._recorded(path)

    def hash(self, paths: Iterable[str], memo: HashMemo) -> None:
        """Fill in the content of those paths that are regular files and were not hashed before."""
        unread = []
        for path in sorted({path for path in paths if path in self._files}):
            if (self._files[path].st_dev, self._files[path].st_ino) in self.keys:
                self.errors[path] = IS_KEY
                continue
            known = memo.known(self._host_path(path), self._files[path])
            if known is None:
                unread.append(path)
            else:
                self.entries[path] = self._with_extras(path, known)
        size = sum(self._files[path].st_size for path in unread)
        if size > MUCH_BYTES:
            logger.info(f"Hash {len(unread):,} new files below {self.root}, {size >> 20:,} MB")
        # In groups, as handing a path to a thread takes as long as hashing a small file.
        starts = range(0, len(unread), HASHED_IN_A_TURN)
        groups = [unread[start : start + HASHED_IN_A_TURN] for start in starts]
        with ThreadPoolExecutor(HASH_THREADS) as pool:
            for read in pool.map(lambda group: self._read_all(group, memo), groups):
                self.entries.update(read)
        self.entries.update({path: self.entries[real] for path, real in self._aliases.items()})

    def found(self) -> Found:
        """All that was recorded."""
        return Found(self.entries, self.names, self.errors, tuple(sorted(self.undecodable)))

    def directories(self, *, is_part: bool = False) -> dict[str, KnownDirectory]:
        """What a later look may take as it is: nothing that was changed in the last moment, as it
        may change again within the same tick of its time stamps, and nothing with errors.

        Of a look at a part also what it did not look at.
        """
        kept = {path: one for path, one in self.known.items() if is_part or path in self.names}
        for path, listing in self._listings.items():
            children = self._children(path)
            settled = self.started_ns - listing.newest_ns > SETTLED_NS
            whole = len(children) == len(listing.entries)
            if settled and whole and not any(child in self.errors for child in children):
                entries = {child: cast(SourceStat, self.entries[child]) for child in children}
                kept[path] = KnownDirectory(
                    listing.fingerprint, self.names[path], entries, self._directories(path)
                )
            else:
                kept.pop(path, None)
        return kept

    def _host_path(self, path: str) -> bytes:
        return host_path(self.root, path)

    def _read_all(self, paths: Iterable[str], memo: HashMemo) -> dict[str, SourceStat | None]:
        return {path: self._read(path, memo) for path in paths}

    def _read(self, path: str, memo: HashMemo) -> SourceStat | None:
        try:
            return self._with_extras(path, memo.read(self._host_path(path)))
        except OSError as error:
            self.errors[path] = _reason(error)
            return self.entries[path]

    def _with_extras(self, path: str, content: SourceStat) -> SourceStat:
        """What the memo knows of a file, with what it does not."""
        looked = self.entries[path]
        if looked is None:
            return content
        return content._replace(xattrs=looked.xattrs, holes=looked.holes)

    def _recorded(self, path: str) -> SourceStat | None:
        if path not in self.entries:
            self.entries[path] = self._stat(path)
        return self.entries[path]

    def _stat(self, path: str) -> SourceStat | None:
        try:
            return self._entry(path, os.lstat(self._host_path(path)))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                return None
            self.errors[path] = _reason(error)
            return SourceStat(OTHER)

    def _entry(self, path: str, found: os.stat_result) -> SourceStat:
        mode = stat.S_IMODE(found.st_mode)
        if stat.S_ISREG(found.st_mode):
            self._files[path] = found
            host_path = self._host_path(path)
            xattrs, holes = xattrs_of(host_path), holes_of(host_path, found)
            return SourceStat(FILE, mode, found.st_size, xattrs=xattrs, holes=holes)
        if stat.S_ISDIR(found.st_mode):
            return SourceStat(DIR, mode)
        if stat.S_ISLNK(found.st_mode):
            return self._link(path, mode)
        return SourceStat(FIFO if stat.S_ISFIFO(found.st_mode) else OTHER, mode)

    def _link(self, path: str, mode: int) -> SourceStat:
        target = os.readlink(self._host_path(path))
        try:
            return SourceStat(SYMLINK, mode, target=target.decode("utf-8"))
        except UnicodeDecodeError:
            self.undecodable.add(escaped(target))
            self.errors[path] = f"the link's target {escaped(target)} is not UTF-8"
            return SourceStat(OTHER, mode)

    def _real_dir(self, top: str) -> list[str]:
        real = self.probe(top)
        entry = self.entries[real] if real is not None else None
        if real is None or entry is None or real in self.names or entry.kind != DIR:
            return []
        return [real]

    def _is_untouched(self, path: str) -> bool:
        """Is a directory as it is known, as a glance at it shows? Then that is taken."""
        known = self.known.get(path)
        if known is None or self.touched is None:
            return False
        if self.touched and without_slash(self._host_path(path)) in self.touched:
            return False
        self._take(path, known)
        return True

    def _take(self, path: str, known: KnownDirectory) -> None:
        self.names[path] = known.names
        self.entries.update(known.entries)
        self._taken.add(path)

    def _directories(self, path: str) -> tuple[str, ...]:
        """The directories in a listed directory."""
        if path in self._taken:
            return self.known[path].directories
        found = ((child, self.entries[child]) for child in self._children(path))
        return tuple(child for child, entry in found if entry is not None and entry.kind == DIR)

    def _children(self, path: str) -> list[str]:
        """The paths of what stands in a listed directory."""
        above = path if path == "/" else f"{path}/"
        return [above + name for name in self.names[path]]

    def list_real(self, path: str) -> None:
        """Record a directory, given by its real path, and the entries in it."""
        try:
            listing = list_directory(self._host_path(path))
        except OSError as error:
            self.errors[path] = _reason(error)
            self.names[path] = ()
            return
        known = self.known.get(path)
        if known is not None and known.fingerprint == listing.fingerprint:
            self._take(path, known)
            return
        self._listings[path] = listing
        names = []
        above = path if path == "/" else f"{path}/"
        for raw, found in listing.entries:
            try:
                name = raw.decode("utf-8")
            except UnicodeDecodeError:
                self.undecodable.add(escaped(posixpath.join(path.encode("utf-8"), raw)))
                continue
            names.append(name)
            child = above + name
            if child not in self.entries:
                self.entries[child] = self._child(child, found)
        self.names[path] = tuple(names)

    def _child(self, path: str, found: os.stat_result) -> SourceStat | None:
        try:
            return self._entry(path, found)
        except OSError:  # a link that has gone since
            return self._stat(path)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
