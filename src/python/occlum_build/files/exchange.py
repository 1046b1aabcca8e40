"""Two things change places in one step, where the kernel and the file system can do that."""

from __future__ import annotations

import errno
import os

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
# What kernels and file systems without it answer.
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def exchange(first: str, second: str) -> bool:
    """Exchange two paths of one file system; False where that cannot be done in one step.

    Raises OSError.
    """
    # Few runs need it, and it takes longer to load than some of them run.
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    ctypes.set_errno(0)
    names = os.fsencode(first), os.fsencode(second)
    if not renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), second)
