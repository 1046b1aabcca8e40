"""Directories of the host, read with what lstat tells of each entry, and their fingerprints."""

from __future__ import annotations

import os
import struct
from typing import NamedTuple

import xxhash

# Device, inode, type and mode, size (bytes), times of content and of inode (ns).
_ROW = struct.Struct("<QQLqqq")


class Listing(NamedTuple):
    """The entries of one directory by name, sorted; names are bytes, as the system has them.

    fingerprint: XXH3-128 over names and status. It is equal as long as nobody touched an entry;
    what lies in directories below is not in it. newest_ns: the latest time in any status.
    """

    entries: tuple[tuple[bytes, os.stat_result], ...]
    fingerprint: bytes
    newest_ns: int


def host_path(root: str, path: str) -> bytes:
    """The path of a host file as the system calls take it, independent of the locale."""
    return ("" if root == "/" else root).encode("utf-8") + path.encode("utf-8", "surrogateescape")


def list_directory(path: bytes | int) -> Listing:
    """Read the directory at a path or of an open file descriptor. Raises OSError."""
    with os.scandir(path) as listed:
        entries = [(os.fsencode(item.name), item.stat(follow_symlinks=False)) for item in listed]
    entries.sort(key=_name)
    rows = bytearray()
    newest_ns = 0
    for name, found in entries:
        mtime_ns, ctime_ns = found.st_mtime_ns, found.st_ctime_ns
        rows += name
        rows += b"/"
        rows += _ROW.pack(
            found.st_dev, found.st_ino, found.st_mode, found.st_size, mtime_ns, ctime_ns
        )
        newest_ns = max(newest_ns, mtime_ns, ctime_ns)
    return Listing(tuple(entries), xxhash.xxh3_128_digest(bytes(rows)), newest_ns)


def _name(entry: tuple[bytes, os.stat_result]) -> bytes:
    return entry[0]
