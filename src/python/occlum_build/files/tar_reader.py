"""Tar archives that others made, also compressed: read forwards, within bounds, damaged anywhere.

`tarfile` finds the members. What it reads by is a stream that counts: a name, an attribute or a map
of holes is read whole, and a compressed archive of some KB may hold terabytes.
"""

from __future__ import annotations

import contextlib
import tarfile
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from occlum_build.files.bounds import GIB, MIB, shown_bytes
from occlum_build.files.compressed import (
    DAMAGED,
    BadArchive,
    Readable,
    damage_told,
    decompressed,
)

MAX_BYTES = 8 * GIB  # of all that an archive holds
MAX_HEADER_BYTES = 1 * MIB  # of what stands before the content of one member
MAX_MEMBERS = 400_000
MAX_NAME_BYTES = 64 * MIB  # of all names and targets of links

_CHUNK_BYTES = 1 * MIB


# What a member is; UNKNOWN is what POSIX and GNU tar have no name for.
FILE, DIR, SYMLINK, HARD_LINK = "file", "dir", "symlink", "hard link"
DEVICE, FIFO, UNKNOWN = "device", "fifo", "unknown"
_KINDS = {
    **dict.fromkeys(tarfile.REGULAR_TYPES, FILE),
    tarfile.DIRTYPE: DIR,
    tarfile.SYMTYPE: SYMLINK,
    tarfile.LNKTYPE: HARD_LINK,
    tarfile.CHRTYPE: DEVICE,
    tarfile.BLKTYPE: DEVICE,
    tarfile.FIFOTYPE: FIFO,
}


class Member(NamedTuple):
    """One entry of an archive; the name is as it stands there, bytes that are no UTF-8 surrogates.

    size is that of a file's content; mode the permission bits; link what a hard or symbolic link
    names, "" for all else.
    """

    number: int  # in the order of the archive
    name: str
    kind: str
    size: int = 0
    mode: int = 0
    link: str = ""

    @property
    def is_executable(self) -> bool:
        return bool(self.mode & 0o100)


def entries_of(
    stream: BinaryIO, limit: int | None = None
) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """All members of an archive, which is read to its end, each with the chunks of its content.

    These are to be taken before the next member, or not at all. `limit` is how many bytes it may
    hold, MAX_BYTES for None. Raises BadArchive, OSError, as they do.
    """
    name_bytes = 0
    with _unpacked(stream, limit) as unpacked, _told():
        for number, (tar, info) in enumerate(_infos(unpacked)):
            if number == MAX_MEMBERS:
                raise BadArchive(f"it has more than {MAX_MEMBERS:,} members")
            name_bytes += len(info.name) + len(info.linkname)
            if name_bytes > MAX_NAME_BYTES:
                raise BadArchive(f"its names have more than {shown_bytes(MAX_NAME_BYTES)}")
            member = _member(number, info)
            yield member, _content(tar, info, unpacked) if member.kind == FILE else iter(())
        unpacked.drain()


def members_of(stream: BinaryIO) -> list[Member]:
    """All members of an archive, which is read to its end. Raises BadArchive, OSError."""
    return [member for member, _ in entries_of(stream)]


def _member(number: int, info: tarfile.TarInfo) -> Member:
    kind = _KINDS.get(info.type, UNKNOWN)
    if info.issparse():
        kind = FILE
    link = info.linkname if kind in (HARD_LINK, SYMLINK) else ""
    size = info.size if kind == FILE else 0
    if size < 0:
        raise BadArchive(DAMAGED)
    return Member(number, _name(info), kind, size, info.mode & 0o7777, link)


def _name(info: tarfile.TarInfo) -> str:
    """With the slash at its end that `tarfile` takes from names in attributes."""
    is_file = info.type in tarfile.REGULAR_TYPES or info.issparse()
    if is_file and info.pax_headers.get("path", "").endswith("/"):
        return info.name.rstrip("/") + "/"
    return info.name


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
    with _unpacked(stream) as unpacked, _told():
        for number, (tar, info) in enumerate(_infos(unpacked)):
            if not left:
                return
            if number in left:
                member = left.pop(number)
                if (_name(info), info.size) != (member.name, member.size):
                    raise BadArchive("it changed while it was read")
                yield member, _content(tar, info, unpacked)
    if left:
        raise BadArchive("it changed while it was read")


class _Tar(tarfile.TarFile):
    """Keeps no member: there may be very many, each with attributes of any size."""

    members: list[tarfile.TarInfo]
    is_done = False  # at the end; the first member is read at once

    def next(self) -> tarfile.TarInfo | None:
        info = super().next()
        self.is_done = info is None
        self.members = []
        self.pax_headers = {}
        return info


def _infos(unpacked: _Unpacked) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    unpacked.begin_header()
    tar = _Tar(fileobj=unpacked, mode="r", encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
    while not tar.is_done and (info := tar.next()) is not None:
        yield tar, info
        unpacked.begin_header()
    if any(unpacked.last):  # tarfile takes a damaged header for the end
        raise BadArchive(DAMAGED)


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
        with damage_told():
            yield
    except tarfile.TarError as error:
        raise BadArchive(str(error)) from None
    except (ValueError, OverflowError, RecursionError):  # of numbers, and headers of headers
        raise BadArchive(DAMAGED) from None


@contextlib.contextmanager
def _unpacked(stream: BinaryIO, limit: int | None = None) -> Iterator[_Unpacked]:
    stream.seek(0)
    with decompressed(stream) as reader:
        plain = stream if reader is stream else None
        yield _Unpacked(reader, plain, MAX_BYTES if limit is None else limit)


class _Unpacked:
    """An archive's bytes without compression, for tarfile: forwards only, and counted.

    `plain` is the archive itself where it is not compressed.
    """

    def __init__(self, stream: Readable, plain: BinaryIO | None, limit: int) -> None:
        self._limit = limit
        self._stream = stream
        self._plain = plain
        self._position = 0
        self._header_left: int | None = None  # None within the content of a member
        self.last = b""  # what was read last

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
        self.last = b"".join(chunks)
        return self.last

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
        if position > self._limit:
            raise BadArchive(f"it holds more than {shown_bytes(self._limit)}")
