"""Locks of directories, which tell runs of ours apart: nothing stays of them when a run ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from _thread import get_ident  # `threading` takes longer to load
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occlum_build.errors import OcclumError, Place

# For the others to end, which hold a lock while they rename a few files.
WAIT_SECONDS = 10
LOCKED = "locked"
_POLL_SECONDS = 0.02
# What file systems without such locks answer.
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
# Thread, device and inode of each directory that is locked here.
_held: set[tuple[int, int, int]] = set()


@contextmanager
def locked(
    directory: str | Path,
    *,
    shared: bool = False,
    seconds: float | None = None,
    code: str = LOCKED,
) -> Iterator[None]:
    """Keep other runs out of a directory, or with `shared` those that are not; re-entrant.

    Where the file system has no locks, or the directory cannot be listed, nobody is kept out.
    Raises OcclumError `code` when another run holds it for `seconds` (WAIT_SECONDS), and OSError.
    """
    descriptor = _open(directory)
    if descriptor is None:
        yield
        return
    try:
        found = os.fstat(descriptor)
        key = (get_ident(), found.st_dev, found.st_ino)
        if key in _held:
            yield
            return
        if not _has_locked(descriptor, seconds, shared=shared):
            raise busy(directory, code)
        _held.add(key)
        try:
            yield
        finally:
            _held.discard(key)
    finally:
        with suppress(OSError):  # it is closed all the same
            os.close(descriptor)


def try_lock(descriptor: int, *, shared: bool = False) -> bool | None:
    """Lock an open file or directory without waiting: False where another run holds it, None
    where the file system has no locks.

    The lock lasts until the descriptor is closed. Raises OSError.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True


def busy(directory: str | Path, code: str) -> OcclumError:
    message = "another run is writing to this directory, or packages what is in it"
    hint = "try again when it has ended"
    return OcclumError(code, message, place=Place(str(directory)), hint=hint)


def _open(directory: str | Path) -> int | None:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return None


def _has_locked(descriptor: int, seconds: float | None, *, shared: bool) -> bool:
    """True also where there are no locks."""
    deadline = time.monotonic() + (WAIT_SECONDS if seconds is None else seconds)
    while try_lock(descriptor, shared=shared) is False:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
