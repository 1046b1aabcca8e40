"""Files that are copied: opened once, and the same at the end as when they were opened.

A change is told by inode, size and times. Of these ctime cannot be set back. What a mapping writes
to a page that was written before moves no time, and is not seen.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import UNSIZED_BYTES, shown_bytes
from occlum_build.files.reading import READ_FLAGS

if TYPE_CHECKING:  # slow to import, and not every run needs it
    from pathlib import Path

# O_NOFOLLOW: a link that took the place of a file would be another file.
SOURCE_FLAGS = READ_FLAGS | os.O_NOFOLLOW
CHUNK_BYTES = 1 << 20
SOURCE_CHANGED = "source-changed"
_NOT_REGULAR = "is not a regular file any more"
_NO_FILE = {errno.ELOOP: "is a link now, and was a file", errno.ENXIO: _NOT_REGULAR}
_HINT = "leave the files alone while they are read, then run it again"


class Identity(NamedTuple):
    """What tells a file from another one, and from what it was before it was written to."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


def identity_of(found: os.stat_result) -> Identity:
    """The identity of a file that was looked at."""
    return Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


_compared = slice(None)


def ignore_ctime() -> None:
    """Let ctime tell of no change from now on in this process.

    For processes in sandboxes, of whose files an engine makes and removes other links meanwhile.
    Nobody writes to these files.
    """
    global _compared
    _compared = slice(-1)


class SourceFile:
    """An open regular file, to be closed as a context manager.

    `path` is for errors, which are OcclumErrors `code`.
    `size` is what it has, in bytes. Files of /proc say 0 and have some all the same.
    """

    def __init__(
        self, descriptor: int, path: str | bytes | Path, code: str = SOURCE_CHANGED
    ) -> None:
        self.descriptor = descriptor
        self.status = os.fstat(descriptor)
        self.size = self.status.st_size
        self._identity = identity_of(self.status)
        self._path, self._code = path, code
        if not stat.S_ISREG(self.status.st_mode):
            raise self._error(_NOT_REGULAR)

    def __enter__(self) -> SourceFile:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.descriptor)

    def check(self, planned: Identity | None) -> None:
        """Raise where it is not the file that was planned, None where that is not known."""
        if planned and self._identity[_compared] != planned[_compared]:
            raise self._error("changed after the image was planned")

    def check_unchanged(self) -> None:
        """Raise where it was written to since it was opened; to be called after the last read."""
        now = identity_of(os.fstat(self.descriptor))
        if now[_compared] != self._identity[_compared]:
            raise self.changed()

    def changed(self) -> OcclumError:
        """The error of a file that is not read as it was."""
        return changed(self._path, self._code)

    def chunks(self) -> Iterator[bytes]:
        """Its bytes from the start, no more than it had when it was opened.

        May raise OSError, which names it.
        """
        offset, end = 0, self.size or UNSIZED_BYTES + 1
        while chunk := self._read(min(end - offset, CHUNK_BYTES), offset):
            offset += len(chunk)
            if offset > (self.size or UNSIZED_BYTES):
                limit = shown_bytes(UNSIZED_BYTES)
                raise self._error(f"says that it is empty, but has more than {limit}")
            yield chunk

    def sha256(self) -> str:
        """The SHA-256 of its bytes, in hex."""
        import hashlib

        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        return digest.hexdigest()

    def _read(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self.descriptor, size, offset)
        except OSError as error:
            error.filename = os.fsdecode(self._path)
            raise

    def _error(self, message: str) -> OcclumError:
        return _error(self._code, message, self._path)


def open_source(
    path: str | bytes | Path,
    *,
    directory: int | None = None,
    shown: str | bytes | Path = "",
    code: str = SOURCE_CHANGED,
    planned: Identity | None = None,
    flags: int = SOURCE_FLAGS,
) -> SourceFile:
    """Open a regular file; `shown` is its name in errors, `path` by default.

    `path` may be one in an open directory. Raises OcclumError `code` for a link, for what else is
    no regular file and for another file than `planned`, and OSError.
    """
    try:
        descriptor = os.open(path, flags, dir_fd=directory)
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
        raise _error(code, _NO_FILE[error.errno], shown or path) from None
    try:
        file = SourceFile(descriptor, shown or path, code)
        file.check(planned)
    except BaseException:
        os.close(descriptor)
        raise
    return file


def changed(path: str | bytes | Path, code: str = SOURCE_CHANGED) -> OcclumError:
    """The error of a file or link that is not read as it was."""
    return _error(code, "changed while it was read", path)


def _error(code: str, message: str, path: str | bytes | Path) -> OcclumError:
    name = os.fsencode(path)
    with suppress(OSError):  # where there is no working directory any more
        name = os.path.abspath(name)
    return OcclumError(code, message, place=Place(os.fsdecode(name)), hint=_HINT)
