"""Files that are written beside their places, by several threads or runs of one directory.

As with stages: a part has a temporary name and is locked as long as its run lives, so that what
can be locked was left by a run that was killed.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from occlum_build.files.locks import try_lock
from occlum_build.files.stages import is_temporary, temporary_name

_ATTEMPTS = 100
# Where a file system has no locks: that nobody has written to, and so nobody will.
_SECONDS_WITHOUT_LOCKS = 24 * 60 * 60


def new_part(directory: Path) -> BinaryIO:
    """A new file in a directory, whose `name` is its path. Raises OSError."""
    for _ in range(_ATTEMPTS):
        part = open(directory / temporary_name(), "xb")  # noqa: SIM115 - the caller's
        try:
            if try_lock(part.fileno()) is not False and os.fstat(part.fileno()).st_nlink:
                return part
        except BaseException:
            os.unlink(part.name)
            part.close()
            raise
        part.close()  # another run took it for one of the dead in the meantime
    raise FileExistsError(errno.EEXIST, "no temporary name is free", str(directory))


def remove_dead_parts(directory: Path) -> None:
    """Remove what killed runs left, as far as that is possible. Raises OSError."""
    with os.scandir(directory) as entries:
        names = sorted(one.name for one in entries if is_temporary(one.name))
    for name in names:
        with suppress(OSError):
            _remove_if_dead(str(directory / name))


def _remove_if_dead(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found, is_dead = os.fstat(descriptor), try_lock(descriptor)
        if is_dead is None:
            is_dead = time.time() - found.st_mtime > _SECONDS_WITHOUT_LOCKS
        if is_dead and stat.S_ISREG(found.st_mode):
            os.unlink(path)
    finally:
        os.close(descriptor)
