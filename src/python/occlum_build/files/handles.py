"""Directories as handles: no link below their root is followed, and no path is too long."""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from typing import NamedTuple

OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# For what is only passed through, which its user may have no right to list.
PASS_DIR = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
MOST_OPEN = 64  # of the usual 1,024 files of a process
_OWNER = 0o700


class DirectoryHandles:
    """Open directories below `root`, each reached through real directories only.

    The last ones that were asked for stay open. To be used as a context manager.
    """

    def __init__(self, root: str, flags: int = OPEN_DIR) -> None:
        self.root = root
        self._flags = flags
        self._top = os.open(root, flags)
        self._open: OrderedDict[str, int] = OrderedDict()

    def __enter__(self) -> DirectoryHandles:
        return self

    def __exit__(self, *_error: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
        os.close(self._top)

    def path(self, path: str) -> str:
        """The path of what stands at a relative path, for messages."""
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    def at(self, path: str) -> int:
        """The directory at a relative path, "" for the root; open until another one is asked for.

        Raises OSError with the whole path as its filename, also where a link stands on the way.
        """
        names = []
        while path and path not in self._open:
            path, _, name = path.rpartition("/")
            names.append(name)
        if not path:
            here = self._top
        else:
            here = self._open[path]
            self._open.move_to_end(path)
        while names:
            name = names.pop()
            path = f"{path}/{name}" if path else name
            try:
                here = os.open(name, self._flags, dir_fd=here)
            except OSError as error:
                error.filename = self.path(path)
                raise
            self._open[path] = here
            if len(self._open) > MOST_OPEN:
                os.close(self._open.popitem(last=False)[1])
        return here

    def beside(self, path: str) -> tuple[int, str]:
        """The directory that holds a relative path, and the name in it."""
        parent, _, name = path.rpartition("/")
        return self.at(parent), name


def make_directories(path: str) -> None:
    """Make an absolute directory with those above it, unless it is there. May raise OSError.

    Its own mode is 0755, whatever the umask.
    """
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for one in reversed(missing[1:]):
        os.mkdir(one)
    if missing:
        mask = os.umask(0)  # not a chmod after it, before which this process may be killed
        try:
            os.mkdir(missing[0], 0o755)
        finally:
            os.umask(mask)


class _Level(NamedTuple):
    """A directory that is being emptied: its name in the one above, what it is, what is left.

    `others` is how many entries that are no directories were in it.
    """

    name: str | bytes
    identity: tuple[int, int]
    directories: list[str]
    others: int


def remove_entry(directory: int, name: str | bytes) -> int:
    """Remove what has a name in an open directory, with all below it, however deep that is.

    Links are not followed, and few directories are open at a time. Gives how many entries that
    were. Raises OSError.
    """
    if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
        os.unlink(name, dir_fd=directory)
        return 1
    levels: list[_Level] = []
    removed = 0
    here = _enter(directory, name, levels)
    try:
        while True:
            if levels[-1].directories:
                below = _enter(here, levels[-1].directories.pop(), levels)
                here = _exchanged(here, below)
                continue
            done = levels.pop()
            removed += 1 + done.others
            if not levels:
                break
            here = _exchanged(here, os.open("..", OPEN_DIR, dir_fd=here))
            if _identity(os.fstat(here)) != levels[-1].identity:
                raise OSError(errno.ESTALE, "it was moved while it was removed", done.name)
            os.rmdir(done.name, dir_fd=here)
    finally:
        os.close(here)
    os.rmdir(name, dir_fd=directory)
    return removed


def open_to_owner(directory: int, name: str | bytes) -> int:
    """Open a directory by its name in another one, and let its owner work in it."""
    try:
        here = os.open(name, OPEN_DIR, dir_fd=directory)
    except PermissionError:
        passed = os.open(name, PASS_DIR, dir_fd=directory)
        try:
            os.chmod(f"/proc/self/fd/{passed}", _OWNER)  # of this very directory
        finally:
            os.close(passed)
        here = os.open(name, OPEN_DIR, dir_fd=directory)
    mode = stat.S_IMODE(os.fstat(here).st_mode)
    if mode & _OWNER != _OWNER:
        os.fchmod(here, mode | _OWNER)
    return here


def _enter(directory: int, name: str | bytes, levels: list[_Level]) -> int:
    """Open a directory, and remove all but the directories in it."""
    here = open_to_owner(directory, name)
    try:
        directories, others = [], 0
        with os.scandir(here) as found:
            for one in list(found):
                if one.is_dir(follow_symlinks=False):
                    directories.append(one.name)
                else:
                    os.unlink(one.name, dir_fd=here)
                    others += 1
        levels.append(_Level(name, _identity(os.fstat(here)), directories, others))
    except BaseException:
        os.close(here)
        raise
    return here


def _exchanged(old: int, new: int) -> int:
    os.close(old)
    return new


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
