"""Writes a tree of entries below a directory: no link of it is followed, nothing is overwritten."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterable, Mapping
from types import TracebackType

from occlum_build.files.handles import CREATE, DirectoryHandles
from occlum_build.files.targets import at
from occlum_build.packages.index import Entry
from occlum_build.sources.model import DIR, SYMLINK

# What a file system answers that has no hard links, not so many, or not between these directories.
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_CHUNK_BYTES = 1 << 20


class TreeWriter:
    """To be used as a context manager; paths are absolute, and of the root "/".

    Directories that are missing are made, of mode 0755. readable: modes get what their owner needs
    to read all of it. All methods may raise OSError, at the path below the root that is being
    written.
    """

    def __init__(self, root: str, *, readable: bool = False) -> None:
        self._root = root
        self._handles = DirectoryHandles(root)
        self._of_file, self._of_dir = (0o400, 0o700) if readable else (0, 0)
        self._made = {""}
        os.fchmod(self._handles.at(""), 0o755)

    def __enter__(self) -> TreeWriter:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._handles.__exit__()

    def file(self, path: str, mode: int, chunks: Iterable[bytes]) -> None:
        """A new file of these permission bits, setuid and the like too."""
        place = self._root + path
        with at(place):
            directory, name = self._place(path)
            descriptor = os.open(name, CREATE, 0o600, dir_fd=directory)
        try:
            for chunk in chunks:  # an error of which is not at the place
                with at(place):
                    _write(descriptor, chunk)
            with at(place):
                os.fchmod(descriptor, mode | self._of_file)
        finally:
            with at(place):
                os.close(descriptor)

    def hard_link(self, path: str, other: str) -> bool:
        """The file of another path under this one too; False for a copy, where that cannot be."""
        with at(self._root + path):
            directory, name = self._place(path)
            source, source_name = self._handles.beside(other[1:])
            try:
                os.link(
                    source_name,
                    name,
                    src_dir_fd=source,
                    dst_dir_fd=directory,
                    follow_symlinks=False,
                )
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
                self._copy(path, source, source_name)
                return False
            return True

    def _copy(self, path: str, source: int, name: str) -> None:
        with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=source), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o7777
            self.file(path, mode, iter(lambda: file.read(_CHUNK_BYTES), b""))

    def add_entries(self, entries: Mapping[str, Entry]) -> None:
        """Links and directories; last of all, as modes may keep their owner out of directories."""
        modes = {}
        for path in sorted(entries):
            entry = entries[path]
            with at(self._root + path):
                if entry.type == SYMLINK:
                    directory, name = self._place(path)
                    os.symlink(entry.target, name, dir_fd=directory)
                elif entry.type == DIR:
                    self._make(path[1:])
                    modes[path] = entry.mode
        for path in sorted(modes, reverse=True):
            with at(self._root + path):
                os.fchmod(self._handles.at(path[1:]), modes[path] | self._of_dir)

    def _place(self, path: str) -> tuple[int, str]:
        """The directory that a path is in, and its name there."""
        parent, name = posixpath.split(path[1:])
        self._make(parent)
        return self._handles.at(parent), name

    def _make(self, path: str) -> None:
        if path.startswith("/"):
            raise ValueError(f"{path} is below a directory without a name")
        missing = []
        while path not in self._made:
            missing.append(path)
            path = posixpath.dirname(path)
        for one in reversed(missing):
            directory, name = self._handles.beside(one)
            os.mkdir(name, 0o700, dir_fd=directory)
            os.fchmod(self._handles.at(one), 0o755)
            self._made.add(one)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
