"""Trees of directories, however deep: without recursion, and removed by handles."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# What the kernel takes, PATH_MAX without its end.
PATH_BYTES = 4095
TOO_LONG = f"holds a path of more than {PATH_BYTES} bytes"


def walk(root: str | Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All entries below a directory, each with its path relative to it; links are not followed.

    A directory comes before what is in it; siblings in no order. Raises OSError, also where a path
    has more than PATH_BYTES.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(root, folder) if folder else root) as found:
            entries = list(found)
        for entry in entries:
            if is_too_long(entry.path):
                raise OSError(errno.ENAMETOOLONG, TOO_LONG, str(root))
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, entry
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)


def is_too_long(path: str | bytes) -> bool:
    """Can no program open this path, as it is longer than PATH_BYTES?"""
    return 4 * len(path) > PATH_BYTES and len(os.fsencode(path)) > PATH_BYTES


def remove_tree(path: str | Path) -> None:
    """Delete a directory and all in it, whatever the depth and the modes; links are not followed.

    Goes on after an error, and raises the first one (OSError) at the end.
    """
    folder, name = os.path.split(os.fspath(path))
    parent = os.open(folder or ".", DIRECTORY_FLAGS & ~os.O_NOFOLLOW)
    try:
        _Removal(parent, name).run()
    finally:
        os.close(parent)


class _Removal:
    """Holds one directory open at a time, and goes up by "..": a tree may be deeper than the
    number of files that may be open, and its paths longer than any that the kernel takes."""

    def __init__(self, parent: int, name: str) -> None:
        self._parent = parent
        # Of each directory from the top one: its name, identity, and the directories left in it.
        self._levels: list[tuple[str, tuple[int, int], list[str]]] = []
        self._error: OSError | None = None
        self._here = parent
        self._top = name

    def run(self) -> None:
        try:
            self._enter(self._top)
            while self._levels:
                left = self._levels[-1][2]
                if left:
                    self._enter(left.pop())
                else:
                    self._leave()
        finally:
            self._move_to(self._parent)
        if self._error is not None:
            raise self._error

    def _enter(self, name: str) -> None:
        try:
            descriptor = _opened(name, self._here)
        except OSError as error:
            self._failed(error)
            return
        self._move_to(descriptor)
        self._levels.append((name, _identity(descriptor), self._emptied(descriptor)))

    def _emptied(self, directory: int) -> list[str]:
        """Delete all that is no directory; the names of the others."""
        directories = []
        try:
            with os.scandir(directory) as found:
                entries = list(found)
        except OSError as error:
            self._failed(error)
            return []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
                continue
            try:
                os.unlink(entry.name, dir_fd=directory)
            except OSError as error:
                self._failed(error)
        return directories

    def _leave(self) -> None:
        name = self._levels.pop()[0]
        if not self._levels:
            self._move_to(self._parent)
        else:
            above = os.open("..", DIRECTORY_FLAGS, dir_fd=self._here)
            self._move_to(above)
            if _identity(above) != self._levels[-1][1]:
                raise OSError(errno.ESTALE, "was moved while it was deleted", name)
        try:
            os.rmdir(name, dir_fd=self._here)
        except OSError as error:
            self._failed(error)

    def _move_to(self, descriptor: int) -> None:
        if self._here not in (self._parent, descriptor):
            os.close(self._here)
        self._here = descriptor

    def _failed(self, error: OSError) -> None:
        self._error = self._error or error


def _opened(name: str, parent: int) -> int:
    """A directory that we may list and change, if only its mode was against it."""
    try:
        descriptor = os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    except PermissionError:
        flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(name, flags, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)
        finally:
            os.close(handle)
        return os.open(name, DIRECTORY_FLAGS, dir_fd=parent)
    with suppress(OSError):
        if os.fstat(descriptor).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.fchmod(descriptor, stat.S_IRWXU)
    return descriptor


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
