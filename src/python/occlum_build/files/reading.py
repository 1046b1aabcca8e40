"""Reads whole files that others made: regular ones, without waiting, and no more than a bound."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import shown_bytes

# O_NONBLOCK: a fifo that nobody writes to would be waited for.
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20


def read_file(path: str | Path, limit: int, *, code: str = "io") -> bytes:
    """The content of a regular file of at most `limit` bytes; links are followed.

    Raises OcclumError `code` when it cannot be read, is not a regular file, or has more.
    """
    try:
        descriptor = os.open(path, READ_FLAGS)
        try:
            return read_descriptor(descriptor, path, limit, code=code)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OcclumError(code, f"{path} cannot be read: {error.strerror}") from error


def read_descriptor(
    descriptor: int, path: str | Path, limit: int, *, code: str = "io", start: bytes = b""
) -> bytes:
    """What is left of an open regular file; `path` is for errors, which are those of `read_file`.

    `start` was read before, and counts. May raise OSError.
    """
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OcclumError(code, f"{path} cannot be read: it is not a regular file")
    chunks, size = [start], len(start)
    # What a file says of its size is not trusted: those of /proc say 0, others grow meanwhile.
    while found.st_size <= limit and size <= limit:
        chunk = os.read(descriptor, min(_CHUNK_BYTES, limit + 1 - size))
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    raise OcclumError(
        code, f"{path} cannot be read: it has more than the {shown_bytes(limit)} that are allowed"
    )
