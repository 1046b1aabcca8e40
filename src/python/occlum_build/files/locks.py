"""Locks of directories, which tell runs of ours apart: nothing stays of them when a run ends."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occlum_build.errors import OcclumError, Place

# For the others to end, which hold a lock while they rename a few files.
WAIT_SECONDS = 10
_POLL_SECONDS = 0.02
# What file systems without such locks answer.
_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF}
_held = threading.local()


@contextmanager
def locked(
    directory: str | Path,
    *,
    shared: bool = False,
    seconds: float = WAIT_SECONDS,
    code: str = "locked",
) -> Iterator[None]:
    """Keep other runs out of a directory, or with `shared` those that are not; re-entrant.

    Where the file system has no locks, or the directory cannot be listed, nobody is kept out.
    Raises OcclumError `code` when another run holds it for `seconds`, and OSError.
    """
    descriptor = _open(directory)
    if descriptor is None:
        yield
        return
    try:
        found = os.fstat(descriptor)
        mine: dict[tuple[int, int], bool] = _held.__dict__.setdefault("locks", {})
        key = (found.st_dev, found.st_ino)
        if key in mine:
            yield
            return
        if not _has_locked(descriptor, seconds, shared=shared):
            raise busy(directory, code)
        mine[key] = shared
        try:
            yield
        finally:
            del mine[key]
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


def _has_locked(descriptor: int, seconds: float, *, shared: bool) -> bool:
    """True also where there are no locks."""
    deadline = time.monotonic() + seconds
    while try_lock(descriptor, shared=shared) is False:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
