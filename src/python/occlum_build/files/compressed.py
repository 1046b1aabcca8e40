"""Compressed data that others made: gzip, bzip2, xz, lzma and zstd, read forwards within bounds."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

from occlum_build.files.bounds import KIB, MIB, shown_bytes

MAX_MEMORY = 256 * MIB  # that unpacking may take; `xz -9` needs 65 MiB, `zstd --ultra` 128 MiB
DAMAGED = "it is damaged"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

_INPUT_BYTES = 64 * KIB
# A zstd block of 4 bytes may hold 128 KiB, and all of an input is unpacked at once.
_ZSTD_INPUT_BYTES = 1 * KIB


class BadArchive(Exception):
    """What is wrong with an archive or with compressed data."""


class NeedsPackage(BadArchive):
    """It may be right, but this Python lacks what reads it."""


class Readable(Protocol):
    """Something to read forwards; `read` gives some bytes, none at the end."""

    def read(self, size: int, /) -> bytes: ...


class _Reader(Readable, Protocol):
    def close(self) -> None: ...


@contextlib.contextmanager
def decompressed(stream: BinaryIO) -> Iterator[Readable]:
    """What a stream holds, by its first bytes; the stream itself where it is not compressed.

    To be read within `damage_told`. Raises BadArchive where zstd cannot be read here.
    """
    reader = _reader(stream)
    try:
        yield reader
    finally:
        # What an error's frames hold lives on, and a dictionary may have MAX_MEMORY.
        if reader is not stream:
            reader.close()


def _reader(stream: BinaryIO) -> _Reader:
    magic = stream.read(6)
    stream.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if magic.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return _Xz(stream)
    if magic.startswith(ZSTD_MAGIC):
        return _Zstd(stream)
    return stream


@contextlib.contextmanager
def damage_told() -> Iterator[None]:
    """Whatever readers raise for damaged data, as BadArchive, but not errors of the system."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise BadArchive(DAMAGED) from None
    except lzma.LZMAError as error:
        raise (_needs_memory() if "emory" in str(error) else BadArchive(DAMAGED)) from None
    except (EOFError, zlib.error):
        raise BadArchive(DAMAGED) from None


def _needs_memory() -> BadArchive:
    return BadArchive(f"it needs more than {shown_bytes(MAX_MEMORY)} of memory to unpack")


class _Xz:
    """As lzma.LZMAFile, but within bounds of memory: an archive says how much it wants."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decompressor = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=MAX_MEMORY)

    def close(self) -> None:
        del self._decompressor

    def read(self, size: int, /) -> bytes:
        while True:
            data = b""
            if self._decompressor.eof:
                # Another stream may follow, also behind zeros.
                data = self._decompressor.unused_data.lstrip(b"\0")
                while not data:
                    data = self._stream.read(_INPUT_BYTES)
                    if not data:
                        return b""
                    data = data.lstrip(b"\0")
                self._decompressor = self._new()
            elif self._decompressor.needs_input:
                data = self._stream.read(_INPUT_BYTES)
                if not data:
                    raise EOFError
            if unpacked := self._decompressor.decompress(data, size):
                return unpacked


class _Zstd:
    """The frames of a zstd stream (RFC 8878), each to its end."""

    def __init__(self, stream: BinaryIO) -> None:
        try:
            import zstandard  # compiled, and few archives need it
        except ImportError:
            message = "it is packed with zstd, which needs the Python package zstandard"
            raise NeedsPackage(message) from None
        self._stream = stream
        self._frames = zstandard.ZstdDecompressor(max_window_size=MAX_MEMORY // 2)
        self._error = zstandard.ZstdError
        self._frame = self._frames.decompressobj()
        self._unpacked, self._taken = b"", 0

    def close(self) -> None:
        del self._frame, self._unpacked

    def read(self, size: int, /) -> bytes:
        while self._taken == len(self._unpacked):
            data = self._frame.unused_data if self._frame.eof else b""
            data = data or self._stream.read(_ZSTD_INPUT_BYTES)
            if not data:
                if self._frame.eof:
                    return b""
                raise EOFError
            if self._frame.eof:
                self._frame = self._frames.decompressobj()
            self._unpacked, self._taken = self._decompress(data), 0
        start, self._taken = self._taken, min(self._taken + size, len(self._unpacked))
        return self._unpacked[start : self._taken]

    def _decompress(self, data: bytes) -> bytes:
        try:
            return self._frame.decompress(data)
        except self._error as error:
            raise (_needs_memory() if "memory" in str(error) else BadArchive(DAMAGED)) from None
