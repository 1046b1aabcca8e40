"""A tree of files on disk made equal to a list of entries, writing only what differs."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from typing import BinaryIO

from occlum_build.files.handles import CREATE, OPEN_DIR, remove_entry
from occlum_build.sources.extras import write_or_skip
from occlum_build.sources.model import DIR, SYMLINK
from pants_occlum.dist.entries import DEFAULT_DIR_MODE, TreeEntry, Wanted
from pants_occlum.dist.errors import dist_errors
from pants_occlum.dist.index import DistIndex, IndexRow, is_current, row_of
from pants_occlum.dist.memory import Synced, TreeMemory
from pants_occlum.dist.new_directories import NewDirectories
from pants_occlum.dist.originals import (
    READ,
    OtherContentError,
    chunks_of,
    own_directory,
    write_slice,
)
from pants_occlum.sysroot.glance import Glance, touched
from pants_occlum.sysroot.listing import Listing, list_directory


class TreeWriter:
    """Makes the directory `root` hold `entries` and nothing else; links are replaced, not followed.

    First compare(), which does all but the files, then put() or copy() for each of those, then
    finish(), also after an error: until then a directory may be open to its owner that is not meant
    to be. index: what is known of the files that are there; it is brought up to date. What cannot
    be written is OcclumError `dist`.
    """

    def __init__(
        self,
        root: str,
        entries: Iterable[TreeEntry],
        index: DistIndex,
        glance: Glance | None = None,
    ) -> None:
        self._root = root
        memory = index.memory if isinstance(index.memory, TreeMemory) else TreeMemory()
        memory.want(entries)
        index.memory = memory
        self._children, self._synced = memory.wanted, memory.synced
        self._memory, self._glance = memory, glance
        self._modes: dict[str, int] = {}  # of directories, to be set in the end
        self._temporary = f".occlum-{uuid.uuid4().hex}".encode()
        self._new = NewDirectories(self._open, self._temporary.decode())
        self._index = index
        self._lock = threading.Lock()  # over the next two
        self._touched: dict[str, dict[str, IndexRow]] = {}  # directory -> its rows
        self._missing: dict[str, int] = {}  # directory -> number of files still to be written
        self.removed = 0

    def compare(self) -> list[TreeEntry]:
        """Remove what is not wanted, make directories and links; give the files to be written."""
        with dist_errors(self._root):
            self._make_root()
        self._index.forget_all_but(self._children)
        for path in self._synced.keys() - self._children.keys():
            del self._synced[path]
        differing: list[TreeEntry] = []
        glance = self._glance.found() if self._glance is not None else b""
        changed = touched(self._memory.glance, glance)
        pending = [""]
        while pending:
            path = pending.pop()
            wanted = self._children[path]
            pending += self._memory.directories[path]
            if changed is not None and not (changed and os.fsencode(self.path(path)) in changed):
                synced = self._synced.get(path)
                if synced is not None and (synced.wanted is wanted or synced.wanted == wanted):
                    continue
            with dist_errors(self.path(path)), self._open(path) as fd:
                listing = list_directory(fd)
                if self._synced.get(path) != (wanted, listing.fingerprint):
                    differing += self._compare_one(fd, path, wanted, listing)
        self._memory.glance = glance
        return sorted(differing)

    def put(self, entry: TreeEntry, content: bytes) -> bool:
        """Write one file in the place of what is there; False where it is not what is wanted."""
        return self._fill(entry, (content,))

    def copy(self, entry: TreeEntry, source: bytes, offset: int | None = None) -> bool:
        """Write one file from another; False where that has another content than is wanted.

        With an offset, in bytes, the content is a part of the other file.
        """
        return self._fill(entry, chunks_of(source, entry.size, offset))

    def copy_slices(
        self, source: bytes, wanted: Iterable[tuple[TreeEntry, int]]
    ) -> list[tuple[TreeEntry, int]]:
        """Write files that are parts of one file, each from an offset in bytes; those that differ.

        Several threads may do this at a time.
        """
        differing = []
        with dist_errors(os.fsdecode(source)), ExitStack() as opened:
            try:
                file = opened.enter_context(open(os.open(source, READ), "rb", buffering=0))
            except OSError:
                return list(wanted)
            for folder, slices in groupby(wanted, key=lambda one: one[0].path.rpartition("/")[0]):
                with dist_errors(self.path(folder)), self.for_files(folder) as (own, fd):
                    for entry, offset in slices:
                        name = posixpath.basename(entry.path).encode("utf-8")
                        with dist_errors(self.path(entry.path)):
                            written = write_slice(file.fileno(), entry, offset, own, fd, name)
                        if written is None:
                            differing.append((entry, offset))
                            continue
                        with self._lock:
                            self.written(folder, name, written, entry)
        return differing

    @contextmanager
    def for_files(self, folder: str) -> Iterator[tuple[int, int | None]]:
        """Where to write files of a directory, and the directory to move them to then, if any."""
        if folder in self._new.paths:
            with self._new.filled(folder) as own:
                yield own, None
        else:
            with self._open(folder) as fd, own_directory(fd, self._temporary) as own:
                yield own, fd

    def place(self) -> None:
        """To be called when nobody writes to a directory of `for_files` any more."""
        for folder, name, found in self._new.place(self.path):
            sha256 = self._children[folder][name].sha256
            self._touched[folder][name.decode("utf-8")] = row_of(found, sha256)

    def written(self, folder: str, name: bytes, found: os.stat_result, entry: TreeEntry) -> None:
        """Know a file that has its place, as lstat tells of it."""
        self._touched[folder][name.decode("utf-8")] = row_of(found, entry.sha256)
        self._missing[folder] -= 1

    def _fill(self, entry: TreeEntry, chunks: Iterable[bytes]) -> bool:
        hasher = hashlib.sha256()
        try:
            with dist_errors(self.path(entry.path)), self._new_file(entry) as stream:
                for chunk in chunks:
                    write_or_skip(stream, chunk)
                    hasher.update(chunk)
                if hasher.hexdigest() != entry.sha256:
                    raise OtherContentError
        except OtherContentError:
            return False
        return True

    def finish(self) -> None:
        """Give the directories their modes, the deepest first, and remember what is there."""
        self.place()
        for path, mode in sorted(self._modes.items(), reverse=True):
            with dist_errors(self.path(path)), self._open(path) as fd:
                os.fchmod(fd, mode)
        self._modes.clear()
        for path, rows in self._touched.items():
            self._index.replace(path, rows)
        above = {posixpath.dirname(path) for path in self._touched}
        for path in {*self._touched, *above}:
            self._synced.pop(path, None)
            if not self._missing.get(path) and path not in self._new.lost:
                self._remember(path)
        self._touched.clear()

    def _remember(self, path: str) -> None:
        """Let the next sync skip the directory, unless it must open one in it to its owner."""
        wanted = self._children[path]
        if any(entry.kind == DIR and not _is_open(entry.mode) for entry in wanted.values()):
            return
        try:
            with self._open(path) as fd:
                self._synced[path] = Synced(wanted, list_directory(fd).fingerprint)
        except OSError:  # not open to its owner
            return

    def _compare_one(
        self, fd: int, path: str, wanted: Wanted, listing: Listing
    ) -> Iterator[TreeEntry]:
        self._synced.pop(path, None)  # whatever happens until it is as it is wanted
        rows = self._index.rows(path)
        found = self._found(fd, wanted, listing)
        current: dict[str, IndexRow] = {}
        missing = 0
        for name, entry in wanted.items():
            if entry.kind == DIR:
                self._make_dir(fd, name, entry, found.get(name))
            elif entry.kind == SYMLINK:
                self._make_link(fd, name, entry, found.get(name))
            else:
                row = rows.get(name.decode("utf-8"))
                if row is not None and is_current(entry, row, found.get(name)):
                    current[name.decode("utf-8")] = row
                else:
                    missing += 1
                    yield entry
        if path and missing == len(wanted) and not found:
            self._new.paths.add(path)
        self._touched[path] = current
        self._missing[path] = missing

    @contextmanager
    def _new_file(self, entry: TreeEntry) -> Iterator[BinaryIO]:
        """A new file that takes its place at the end of the block, if that raised nothing."""
        folder, _, name = entry.path.rpartition("/")
        with self._open(folder) as fd:
            try:
                with open(os.open(self._temporary, CREATE, 0o600, dir_fd=fd), "wb") as stream:
                    yield stream
                    stream.truncate()  # where a hole is at its end
                    os.fchmod(stream.fileno(), entry.mode)  # last: a write drops the setuid bit
                written = self._move_into_place(fd, name.encode("utf-8"))
            except BaseException:
                with suppress(OSError):
                    os.unlink(self._temporary, dir_fd=fd)
                raise
        self.written(folder, name.encode("utf-8"), written, entry)

    def _make_root(self) -> None:
        os.makedirs(os.path.dirname(self._root), exist_ok=True)
        if os.path.islink(self._root) or not os.path.isdir(self._root):
            if os.path.lexists(self._root):
                os.unlink(self._root)
            os.mkdir(self._root)
            self._synced.clear()
        if stat.S_IMODE(os.lstat(self._root).st_mode) != DEFAULT_DIR_MODE:
            os.chmod(self._root, DEFAULT_DIR_MODE)

    def _found(self, fd: int, wanted: Wanted, listing: Listing) -> dict[bytes, os.stat_result]:
        """The entries of a directory that may stay; the others are removed."""
        found = {}
        for name, status in listing.entries:
            entry = wanted.get(name)
            if entry is not None and stat.S_ISDIR(status.st_mode) == (entry.kind == DIR):
                found[name] = status
            else:
                self.removed += remove_entry(fd, name)
        return found

    def _make_dir(
        self, fd: int, name: bytes, entry: TreeEntry, found: os.stat_result | None
    ) -> None:
        if found is None:
            os.mkdir(name, 0o700, dir_fd=fd)
            # What a glance saw of it, or did not see, was before.
            self._synced.pop(entry.path, None)
        mode = stat.S_IMODE(found.st_mode) if found else 0o700
        if not _is_open(mode):
            os.chmod(name, 0o700, dir_fd=fd)
            mode = 0o700
        if mode != entry.mode:
            self._modes[entry.path] = entry.mode

    def _make_link(
        self, fd: int, name: bytes, entry: TreeEntry, found: os.stat_result | None
    ) -> None:
        target = entry.target.encode("utf-8")
        is_link = found is not None and stat.S_ISLNK(found.st_mode)
        if not is_link or os.readlink(name, dir_fd=fd) != target:
            os.symlink(target, self._temporary, dir_fd=fd)
            self._move_into_place(fd, name)

    def _move_into_place(self, fd: int, name: bytes) -> os.stat_result:
        os.rename(self._temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        return os.lstat(name, dir_fd=fd)

    def path(self, path: str) -> str:
        """How errors call what is in the tree."""
        return os.path.join(self._root, path) if path else self._root

    @contextmanager
    def _open(self, path: str) -> Iterator[int]:
        """A directory of the tree, reached without following a link that stands in it."""
        fd = os.open(self._root, OPEN_DIR)
        try:
            for name in path.encode("utf-8").split(b"/") if path else ():
                below = os.open(name, OPEN_DIR, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)


def _is_open(mode: int) -> bool:
    """Can the owner of a directory work in it?"""
    return mode & 0o700 == 0o700
