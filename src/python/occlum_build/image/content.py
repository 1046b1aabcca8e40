"""Copies and compares the bytes of an open source."""

from __future__ import annotations

import os

from occlum_build.files.source import CHUNK_BYTES, SourceFile
from occlum_build.sources.extras import copy_ranges, data_ranges, write_or_skip

_SENT_BYTES = 1 << 30


def copy_content(source: SourceFile, out: int, *, is_hashed: bool) -> str:
    """Copy a source to an empty file: no more than it had when it was opened, and its holes.

    Returns the SHA-256 in hex of what was copied, "" where it is not to be hashed. May raise
    OSError.
    """
    if is_hashed or not source.size:
        return _copy_chunks(source, out)
    if source.status.st_blocks * 512 < source.size:
        copy_ranges(source.descriptor, out, source.size)
    else:
        _send(source.descriptor, out, source.size)
    return ""


def _copy_chunks(source: SourceFile, out: int) -> str:
    import hashlib  # slow to import, and few files are hashed

    digest = hashlib.sha256()
    with open(out, "wb", closefd=False) as stream:
        for chunk in source.chunks():
            digest.update(chunk)
            write_or_skip(stream, chunk)
        stream.truncate()
    return digest.hexdigest()


def _send(source: int, out: int, size: int) -> None:
    """Copy in the kernel. A source that has become shorter is told of by `check_unchanged`."""
    sent = 0
    while sent < size:
        count = os.sendfile(out, source, sent, min(size - sent, _SENT_BYTES))
        if not count:
            return
        sent += count


def _ranges_to_compare(existing: int, source: SourceFile) -> list[tuple[int, int]]:
    size = source.size
    if source.status.st_blocks * 512 < size:
        ranges = data_ranges(source.descriptor, size)
        if ranges == data_ranges(existing, size):
            return ranges
    return [(0, size)]


def same_content(existing: int, source: SourceFile) -> bool:
    """Has an open file of the same size the same bytes? Holes that both have are not read."""
    for start, end in _ranges_to_compare(existing, source):
        while start < end:
            chunk = os.pread(existing, min(end - start, CHUNK_BYTES), start)
            if not chunk or chunk != os.pread(source.descriptor, len(chunk), start):
                return False
            start += len(chunk)
    return True
