"""Unpacks an index within bounds: what a few KB hold may be terabytes."""

from __future__ import annotations

import lzma
import zlib

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MIB, shown_bytes

MAX_XZ_MEMORY = 256 * MIB  # `xz -9` needs 65 MiB
_CHUNK_BYTES = 1 * MIB


class _Damaged(Exception):
    """What is wrong with compressed data."""


def unpacked(data: bytes, name: str, limit: int) -> bytes:
    """The content of .xz or .gz, or of what is plain, by the end of `name`; at most `limit` bytes.

    Raises OcclumError `archive-index` for what is damaged or holds more.
    """
    try:
        if name.endswith(".xz"):
            return _xz(data, limit)
        if name.endswith(".gz"):
            return _gzip(data, limit)
    except (_Damaged, lzma.LZMAError, zlib.error) as error:
        reason = str(error) if isinstance(error, _Damaged) else "it is damaged"
        message = f"{name} cannot be unpacked: {reason}"
        raise OcclumError("archive-index", message, place=Place(name)) from None
    if len(data) > limit:
        raise OcclumError("archive-index", f"{name} has more than {shown_bytes(limit)}")
    return data


def _xz(data: bytes, limit: int) -> bytes:
    chunks, left = [], limit
    while data:
        stream = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)
        while not stream.eof:
            chunk = stream.decompress(data, _CHUNK_BYTES)
            data = b""
            if not chunk and stream.needs_input:
                raise _Damaged("it ends too early")
            left = _less(left, chunk, limit)
            chunks.append(chunk)
        data = stream.unused_data.lstrip(b"\0")  # another stream, or what fills up the last one
    return b"".join(chunks)


def _gzip(data: bytes, limit: int) -> bytes:
    chunks, left = [], limit
    while data:
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            chunk = stream.decompress(data, _CHUNK_BYTES)
            data = stream.unconsumed_tail
            if not chunk and not data and not stream.eof:
                raise _Damaged("it ends too early")
            left = _less(left, chunk, limit)
            chunks.append(chunk)
        data = stream.unused_data.lstrip(b"\0")
    return b"".join(chunks)


def _less(left: int, chunk: bytes, limit: int) -> int:
    if len(chunk) > left:
        raise _Damaged(f"it holds more than {shown_bytes(limit)}")
    return left - len(chunk)
