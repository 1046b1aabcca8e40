"""Tar archives that others made, also compressed: read forwards, within bounds, damaged anywhere.

`tarfile` finds the members. What it reads by is a stream that counts: a name, an attribute or a map
of holes is read whole, and a compressed archive of some KB may hold terabytes.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple, Protocol

from occlum_build.files.bounds import GIB, KIB, MIB, shown_bytes
from occlum_build.sources.model import DIR, FILE, OTHER, SYMLINK

MAX_BYTES = 8 * GIB  # of all that an archive holds
MAX_HEADER_BYTES = 1 * MIB  # of what stands before the content of one member
MAX_MEMBERS = 400_000
MAX_NAME_BYTES = 64 * MIB  # of all names and targets of links
MAX_XZ_MEMORY = 256 * MIB  # `xz -9` needs 65 MiB
DAMAGED = "it is damaged"
HARD_LINK = "hard link"

_CHUNK_BYTES = 1 * MIB
_INPUT_BYTES = 64 * KIB


class BadArchive(Exception):
    """What is wrong with an archive."""


class Member(NamedTuple):
    """One name of an archive; `link` is the target of a link."""

    number: int  # in the order of the archive
    name: str
    size: int
    is_executable: bool
    kind: str = FILE  # SYMLINK, HARD_LINK, DIR, or OTHER for fifos and devices
    link: str = ""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def members_of(stream: BinaryIO) -> list[Member]:
    """All members of an archive, which is read to its end. Raises BadArchive, OSError."""
    unpacked, found, name_bytes = _Unpacked(stream), [], 0
    with _told():
        for number, (_, info) in enumerate(_infos(unpacked)):
            if number == MAX_MEMBERS:
                raise BadArchive(f"it has more than {MAX_MEMBERS:,} members")
            name_bytes += len(info.name) + len(info.linkname)
            if name_bytes > MAX_NAME_BYTES:
                raise BadArchive(f"its names have more than {shown_bytes(MAX_NAME_BYTES)}")
            kind, is_executable = _kind(info), bool(info.mode & 0o100)
            link = info.linkname if kind in (SYMLINK, HARD_LINK) else ""
            found.append(Member(number, info.name, info.size, is_executable, kind, link))
        unpacked.drain()
    return found


def contents_of(
    stream: BinaryIO, wanted: Iterable[Member], limit: int
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """The contents of regular files, in the order of the archive, each of at most `limit` bytes.

    One is a number of chunks, to be taken before the next. Raises BadArchive, OSError, as they do.
    """
    left = {member.number: member for member in wanted}
    for member in left.values():
        if member.size > limit:
            raise BadArchive(f"{member.name} in it has more than {shown_bytes(limit)}")
    unpacked = _Unpacked(stream)
    with _told():
        for number, (tar, info) in enumerate(_infos(unpacked)):
            if not left:
                return
            if number in left:
                member = left.pop(number)
                if (info.name, info.size) != (member.name, member.size):
                    raise BadArchive("it changed while it was read")
                yield member, _content(tar, info, unpacked)
    if left:
        raise BadArchive("it changed while it was read")


def _kind(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return FILE
    if info.issym():
        return SYMLINK
    if info.islnk():
        return HARD_LINK
    return DIR if info.isdir() else OTHER


class _Tar(tarfile.TarFile):
    """Keeps no member: there may be very many, each with attributes of any size."""

    members: list[tarfile.TarInfo]

    def next(self) -> tarfile.TarInfo | None:
        info = super().next()
        self.members = []
        self.pax_headers = {}
        return info


def _infos(unpacked: _Unpacked) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    unpacked.begin_header()
    tar = _Tar(fileobj=unpacked, mode="r", encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    while (info := tar.next()) is not None:
        yield tar, info
        unpacked.begin_header()


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo, unpacked: _Unpacked) -> Iterator[bytes]:
    unpacked.begin_content()
    left = info.size
    with _told():
        file = tar.extractfile(info)
        while file is not None and left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
    if left:
        raise BadArchive(DAMAGED)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Whatever readers raise for a damaged archive, as BadArchive, but not errors of the system."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            raise
        raise BadArchive(DAMAGED) from None
    except tarfile.TarError as error:
        raise BadArchive(str(error)) from None
    except lzma.LZMAError as error:
        is_memory = "emory" in str(error)
        limit = f"it needs more than {shown_bytes(MAX_XZ_MEMORY)} of memory to unpack"
        raise BadArchive(limit if is_memory else DAMAGED) from None
    except (EOFError, zlib.error):
        raise BadArchive(DAMAGED) from None
    except (ValueError, OverflowError, RecursionError):  # of numbers, and headers of headers
        raise BadArchive(DAMAGED) from None


class _Unpacked:
    """An archive's bytes without compression, for tarfile: forwards only, and counted."""

    def __init__(self, stream: BinaryIO) -> None:
        stream.seek(0)
        self._stream = _decompressed(stream)
        self._plain = stream if self._stream is stream else None
        self._position = 0
        self._header_left: int | None = None  # None within the content of a member

    def begin_header(self) -> None:
        self._header_left = MAX_HEADER_BYTES

    def begin_content(self) -> None:
        self._header_left = None

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if size < 0:
            raise BadArchive(DAMAGED)
        if self._header_left is not None:
            self._header_left -= size
            if self._header_left < 0:
                raise BadArchive(f"a header has more than {shown_bytes(MAX_HEADER_BYTES)}")
        chunks = []
        while size and (chunk := self._stream.read(min(size, _CHUNK_BYTES))):
            self._move(self._position + len(chunk))
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def seek(self, position: int) -> int:
        """Forwards only: what leads back is no archive, and would be read again and again."""
        if position < self._position:
            raise BadArchive(DAMAGED)
        if self._plain is not None:
            self._move(position)
            self._plain.seek(position)
            return position
        self._check(position)
        while self._position < position:
            chunk = self._stream.read(min(position - self._position, _CHUNK_BYTES))
            if not chunk:
                raise EOFError
            self._position += len(chunk)
        return position

    def drain(self) -> None:
        """Read what follows the last member: checksums of all come at the end."""
        while self._plain is None and (chunk := self._stream.read(_CHUNK_BYTES)):
            self._move(self._position + len(chunk))

    def _move(self, position: int) -> None:
        self._check(position)
        self._position = position

    def _check(self, position: int) -> None:
        if position > MAX_BYTES:
            raise BadArchive(f"it holds more than {shown_bytes(MAX_BYTES)}")


def _decompressed(stream: BinaryIO) -> _Readable:
    magic = stream.read(6)
    stream.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=stream, mode="rb")
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if magic.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return _Xz(stream)
    return stream


class _Xz:
    """As lzma.LZMAFile, but within bounds of memory: an archive says how much it wants."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decompressor = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(memlimit=MAX_XZ_MEMORY)

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
