"""Reads key files once, into memory that is overwritten afterwards, and keeps it out of core dumps.

What cannot be overwritten from Python are the copies that it makes: those of cryptography, hashlib
and hmac, and every derived key.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import shown_bytes
from occlum_build.files.reading import READ_FLAGS

_PR_SET_DUMPABLE = 4


def read_secret(path: Path, limit: int) -> tuple[bytearray, int]:
    """The content of a regular file of at most `limit` bytes, and the mode of that very file.

    Whoever uses the content wipes it. Raises OSError.
    """
    buffer = bytearray(limit + 1)
    descriptor = os.open(path, READ_FLAGS)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        size = 0
        with memoryview(buffer) as view:
            while size <= limit and (count := os.readv(descriptor, [view[size:]])):
                size += count
            if size > limit:
                message = f"it has more than the {shown_bytes(limit)} that are allowed"
                raise OSError(errno.EFBIG, message)
            return bytearray(view[:size]), stat.S_IMODE(mode)
    finally:
        os.close(descriptor)
        wipe(buffer)


def keep_from(outputs: Iterable[Path | None], key: Path | None) -> None:
    """Raises OcclumError `usage` for an output that would replace the key file it is made with."""
    for output in outputs:
        with suppress(OSError):  # nothing is there to be replaced
            if key is not None and output is not None and os.path.samefile(output, key):
                message = "is the key file, which would be replaced by the result"
                raise OcclumError("usage", message, place=Place(str(output)))


def wipe(secret: bytearray) -> None:
    """Overwrite a secret with zeros, in place."""
    secret[:] = bytes(len(secret))


def no_core_dumps() -> None:
    """Let this process leave no memory on disk when it crashes, and none to be read by others.

    The limit is what the kernel looks at where a core is a file; a program that gets cores is not
    started for a process that is not dumpable.
    """
    import ctypes  # takes as long as some verbs
    import resource

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
