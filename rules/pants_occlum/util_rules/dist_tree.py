"""A tree of files on disk made equal to a list of entries, writing only what differs."""

from __future__ import annotations

import os
import posixpath
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from occlum_build.sources import DIR, FILE, SYMLINK
from pants_occlum.util_rules.dist_index import IndexRow, row_of

OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DEFAULT_DIR_MODE = 0o755


class TreeEntry(NamedTuple):
    """One entry of a tree. A tuple, because a tree has 50,000.

    path: relative to the tree, in normal form. kind: FILE, DIR or SYMLINK of occlum_build.sources.
    mode: permission bits, setuid and the like included. size in bytes and sha256 (lower-case hex)
    of a file, target of a symlink.
    """

    path: str
    kind: str
    mode: int
    sha256: str = ""
    size: int = 0
    target: str = ""


class TreeWriter:
    """Makes the directory `root` hold `entries` and nothing else; links are replaced, not followed.

    First compare(), which does all but the files, then put() for each of those, then finish(), also
    after an error: until then a directory may be open to its owner that is not meant to be.
    index: path -> row of the files that are there, as far as is known.
    """

    def __init__(self, root: str, entries: Iterable[TreeEntry], index: dict[str, IndexRow]) -> None:
        self._root = root
        self._children = _children(entries)
        self._modes: dict[str, int] = {}  # of directories, to be set in the end
        self._temporary = f".occlum-{uuid.uuid4().hex}".encode()
        self.index = {
            entry.path: index[entry.path]
            for wanted in self._children.values()
            for entry in wanted.values()
            if entry.path in index
        }
        self.removed = 0

    def compare(self) -> list[TreeEntry]:
        """Remove what is not wanted, make directories and links; give the files to be written."""
        self._make_root()
        differing: list[TreeEntry] = []
        pending = [""]
        while pending:
            path = pending.pop()
            wanted = self._children.get(path, {})
            with self._open(path) as fd:
                found = self._found(fd, wanted)
                for name, entry in wanted.items():
                    if entry.kind == DIR:
                        self._make_dir(fd, name, entry, found.get(name))
                        pending.append(entry.path)
                    elif entry.kind == SYMLINK:
                        self._make_link(fd, name, entry, found.get(name))
                    elif not self._is_current(entry, found.get(name)):
                        differing.append(entry)
        return sorted(differing)

    def put(self, entry: TreeEntry, content: bytes) -> None:
        """Write one file in the place of what is there."""
        folder, name = posixpath.split(entry.path)
        with self._open(folder) as fd:
            with open(os.open(self._temporary, CREATE, 0o600, dir_fd=fd), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fchmod(stream.fileno(), entry.mode)  # last: a write drops the setuid bit
            written = self._move_into_place(fd, name.encode("utf-8"))
        self.index[entry.path] = row_of(written, entry.sha256)

    def finish(self) -> None:
        """Give the directories their modes, the deepest first."""
        for path, mode in sorted(self._modes.items(), reverse=True):
            with self._open(path) as fd:
                os.fchmod(fd, mode)
        self._modes.clear()

    def _make_root(self) -> None:
        os.makedirs(os.path.dirname(self._root), exist_ok=True)
        if os.path.islink(self._root) or not os.path.isdir(self._root):
            if os.path.lexists(self._root):
                os.unlink(self._root)
            os.mkdir(self._root)
        if stat.S_IMODE(os.lstat(self._root).st_mode) != DEFAULT_DIR_MODE:
            os.chmod(self._root, DEFAULT_DIR_MODE)

    def _found(self, fd: int, wanted: dict[bytes, TreeEntry]) -> dict[bytes, os.stat_result]:
        """The entries of a directory that may stay; the others are removed."""
        found = {}
        with os.scandir(fd) as listed:
            for item in list(listed):
                name = os.fsencode(item.name)
                entry = wanted.get(name)
                status = item.stat(follow_symlinks=False)
                if entry is not None and stat.S_ISDIR(status.st_mode) == (entry.kind == DIR):
                    found[name] = status
                else:
                    self._remove(fd, name)
        return found

    def _make_dir(
        self, fd: int, name: bytes, entry: TreeEntry, found: os.stat_result | None
    ) -> None:
        if found is None:
            os.mkdir(name, 0o700, dir_fd=fd)
        mode = stat.S_IMODE(found.st_mode) if found else 0o700
        if mode & 0o700 != 0o700:
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

    def _is_current(self, entry: TreeEntry, found: os.stat_result | None) -> bool:
        row = self.index.get(entry.path)
        return (
            found is not None
            and row == row_of(found, entry.sha256)
            and found.st_mode == stat.S_IFREG | entry.mode
        )

    def _move_into_place(self, fd: int, name: bytes) -> os.stat_result:
        os.rename(self._temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        return os.lstat(name, dir_fd=fd)

    def _remove(self, fd: int, name: bytes) -> None:
        """Remove an entry with all below it."""
        self.removed += 1
        if not stat.S_ISDIR(os.lstat(name, dir_fd=fd).st_mode):
            os.unlink(name, dir_fd=fd)
            return
        os.chmod(name, 0o700, dir_fd=fd)
        below = os.open(name, OPEN_DIR, dir_fd=fd)
        try:
            for child in os.listdir(below):
                self._remove(below, os.fsencode(child))
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=fd)

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


def _children(entries: Iterable[TreeEntry]) -> dict[str, dict[bytes, TreeEntry]]:
    """Directory -> name -> entry. Directories that are implied by others' paths get mode 0755.

    Raises ValueError for a path that is not in normal form or leaves the tree, or comes twice.
    """
    by_path: dict[str, TreeEntry] = {}
    for entry in entries:
        path = entry.path
        if posixpath.normpath(path) != path or path[0] == "/" or path.split("/")[0] in (".", ".."):
            raise ValueError(f"not a path within a tree: {path!r}")
        if entry.kind not in (FILE, DIR, SYMLINK):
            raise ValueError(f"{path!r} is a {entry.kind}, which a tree cannot hold")
        if by_path.setdefault(path, entry) is not entry:
            raise ValueError(f"two entries for {path!r}")
    for path in list(by_path):
        parent = posixpath.dirname(path)
        while parent and parent not in by_path:
            by_path[parent] = TreeEntry(parent, DIR, DEFAULT_DIR_MODE)
            parent = posixpath.dirname(parent)
        if parent and by_path[parent].kind != DIR:
            raise ValueError(f"{parent!r} is a {by_path[parent].kind} and holds {path!r}")
    children: dict[str, dict[bytes, TreeEntry]] = {}
    for path, entry in sorted(by_path.items()):
        folder, name = posixpath.split(path)
        children.setdefault(folder, {})[name.encode("utf-8")] = entry
    return children
