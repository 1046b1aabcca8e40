"""Reads whole files that others made: regular ones, without waiting, and no more than a bound."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import shown_bytes

if TYPE_CHECKING:  # slow to import, and not every run needs it
    from pathlib import Path

# O_NONBLOCK: a fifo that nobody writes to would be waited for.
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
_NOT_REGULAR = "it is not a regular file"


def read_file(
    path: str | Path, limit: int, *, code: str = "io", large: str = "", name: str = ""
) -> bytes:
    """The content of a regular file of at most `limit` bytes; links are followed.

    Raises OcclumError `code`, or `large` where one is given, when it has more than `limit` bytes,
    and `code` when it cannot be read or is not a regular file. `name` is what errors call it.
    """
    with _reading(path, code, name) as descriptor:
        return read_descriptor(descriptor, name or path, limit, code=large or code)


def read_start(path: str | Path, count: int, *, code: str = "io") -> bytes:
    """The first `count` bytes of a regular file, fewer where it has no more."""
    with _reading(path, code, "") as descriptor:
        return os.read(descriptor, count)


def chunks_of(path: str | Path, *, code: str = "io") -> Iterator[bytes]:
    """The content of a regular file of any size, as large as it is when it is opened."""
    with _reading(path, code, "") as descriptor:
        left = os.fstat(descriptor).st_size
        while left and (chunk := os.read(descriptor, min(_CHUNK_BYTES, left))):
            yield chunk
            left -= len(chunk)


def open_regular(path: str | Path, *, code: str = "io", name: str = "") -> int:
    """A descriptor of a regular file, links followed; its reader closes it.

    Raises OcclumError `code`, by the OSError if there was one; `name` is what errors call the file.
    """
    cause = None
    try:
        descriptor = os.open(path, READ_FLAGS)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            reason = _NOT_REGULAR
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    except OSError as error:
        is_socket = error.errno == errno.ENXIO
        reason, cause = _NOT_REGULAR if is_socket else error.strerror or str(error), error
    raise OcclumError(code, f"{name or path} cannot be read: {reason}") from cause


@contextmanager
def _reading(path: str | Path, code: str, name: str) -> Iterator[int]:
    descriptor = open_regular(path, code=code, name=name)
    try:
        yield descriptor
    except OSError as error:
        raise OcclumError(code, f"{name or path} cannot be read: {error.strerror}") from error
    finally:
        with suppress(OSError):  # all that counts was read
            os.close(descriptor)


def read_descriptor(
    descriptor: int, path: str | Path, limit: int, *, code: str = "io", start: bytes = b""
) -> bytes:
    """What is left of an open regular file; `path` is for errors, which are those of `read_file`.

    `start` was read before, and counts. May raise OSError.
    """
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OcclumError(code, f"{path} cannot be read: {_NOT_REGULAR}")
    chunks, size = [start], len(start)
    # What a file says of its size is not trusted: those of /proc say 0, others grow meanwhile.
    while found.st_size <= limit and size <= limit:
        chunk = os.read(descriptor, min(_CHUNK_BYTES, limit + 1 - size))
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)
    raise too_large(path, limit, code)


def too_large(path: str | Path, limit: int, code: str) -> OcclumError:
    """The error of a file that has more bytes than its kind may have."""
    allowed = f"it has more than the {shown_bytes(limit)} that are allowed"
    return OcclumError(code, f"{path} cannot be read: {allowed}")


@contextmanager
def content_of(path: str | Path, *codes: str) -> Iterator[None]:
    """Within it, a problem that has no place, and one of the codes if any, is told of this file."""
    try:
        yield
    except OcclumError as error:
        place = Place(str(path))
        found = [
            replace(one, place=place)
            if one.place is None and (not codes or one.code in codes)
            else one
            for one in error.problems
        ]
        raise OcclumError.of(found, error.told) from error.__cause__
