"""What a file has beside its bytes and its mode: extended attributes, and holes."""

from __future__ import annotations

import errno
import os
from typing import BinaryIO

CAPABILITY = "security.capability"
# Holes of smaller files are not worth a word.
SPARSE_BYTES = 64 << 20
_COUNTED = (CAPABILITY, "system.posix_acl_access")
# What desktops and container tools note for themselves.
_NOT_COUNTED = ("user.xdg.", "user.mime_type", "user.overlay.", "user.containers.")
_ZEROS = bytes(1 << 20)
_CHUNK_BYTES = 1 << 30


def xattrs_of(path: str | bytes) -> tuple[str, ...]:
    """The sorted names of a file's extended attributes that a program may miss.

    SELinux labels and the like belong to the machine, and are none of them.
    """
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        return ()
    if not names:
        return ()
    return tuple(sorted(filter(_counts, names)))


def holes_of(path: str | bytes, found: os.stat_result) -> int:
    """How many bytes of a large file take no space, where that are more than half; else 0.

    Told by its holes, as a file system that compresses takes less space for all files.
    """
    if found.st_size < SPARSE_BYTES or found.st_blocks * 512 * 2 >= found.st_size:
        return 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        holes = found.st_size - sum(end - start for start, end in data_ranges(fd, found.st_size))
    finally:
        os.close(fd)
    return holes if holes * 2 > found.st_size else 0


def data_ranges(fd: int, size: int) -> list[tuple[int, int]]:
    """Where the first `size` bytes of an open file are no hole: (start, end) in order."""
    ranges, end = [], 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # no more data
                break
            start, end = end, size  # a file system that does not tell
        if start < size:
            ranges.append((start, end))
    return ranges


def copy_ranges(source: int, target: int, size: int) -> None:
    """Copy `size` bytes of an open file to an empty one in the kernel; holes stay holes."""
    for start, end in data_ranges(source, size):
        os.lseek(target, start, os.SEEK_SET)
        while start < end:
            copied = os.sendfile(target, source, start, min(end - start, _CHUNK_BYTES))
            if copied == 0:  # it has shrunk meanwhile
                break
            start += copied
    os.ftruncate(target, size)


def write_or_skip(stream: BinaryIO, chunk: bytes) -> None:
    """Write a chunk to a new file, a hole for 1 MiB of zeros; truncate the file at its end."""
    if chunk == _ZEROS:
        stream.seek(len(chunk), os.SEEK_CUR)
    else:
        stream.write(chunk)


def _counts(name: str) -> bool:
    return name in _COUNTED or (name.startswith("user.") and not name.startswith(_NOT_COUNTED))
