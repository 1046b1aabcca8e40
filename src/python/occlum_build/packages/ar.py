"""Members of an ar archive, the container of Debian's packages (deb(5), ar(5) of System V)."""

from __future__ import annotations

import io
from typing import BinaryIO, NamedTuple

from occlum_build.files.compressed import DAMAGED, BadArchive
from occlum_build.table import Field, Record

MAGIC = b"!<arch>\n"
MAX_PARTS = 64  # of a package, which has three
_END = b"`\n"
_DIGITS = 10
# All of it is text, filled up with blanks.
_HEADER = Record(
    60,
    [
        Field("name", 0, "16s"),
        Field("date", 16, "12s"),
        Field("owner", 28, "6s"),
        Field("group", 34, "6s"),
        Field("mode", 40, "8s"),
        Field("size", 48, f"{_DIGITS}s"),
        Field("end", 58, "2s"),
    ],
)


class Part(NamedTuple):
    """A member: its name, and where its content stands in the file, in bytes."""

    name: str
    offset: int
    size: int


def parts_of(stream: BinaryIO) -> list[Part]:
    """The members in their order; contents are not read. Raises BadArchive, OSError."""
    end = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    if stream.read(len(MAGIC)) != MAGIC:
        raise BadArchive("it is no ar archive")
    parts: list[Part] = []
    offset = len(MAGIC)
    while offset < end:
        if len(parts) == MAX_PARTS:
            raise BadArchive(f"it has more than {MAX_PARTS} members")
        part = _part(stream, offset)
        if part.offset + part.size > end:
            raise BadArchive(f"it ends within {part.name}")
        parts.append(part)
        offset = part.offset + part.size + part.size % 2
    return parts


def _part(stream: BinaryIO, offset: int) -> Part:
    stream.seek(offset)
    data = stream.read(_HEADER.size)
    if len(data) < _HEADER.size:
        raise BadArchive(DAMAGED)
    header = _HEADER.unpack(data)
    size = header["size"].rstrip(b" ")
    name = header["name"].rstrip(b" ")
    if header["end"] != _END or not size.isdigit() or not name.isascii():
        raise BadArchive(DAMAGED)
    name = name[:-1] if name.endswith(b"/") else name  # as System V ends it
    return Part(name.decode("ascii"), offset + _HEADER.size, int(size))


class Slice(io.RawIOBase):
    """The content of a member as a stream of its own. It moves the file that it is read from."""

    def __init__(self, stream: BinaryIO, part: Part) -> None:
        self._stream, self._part, self._position = stream, part, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Also beyond the end, where nothing is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._part.size}
        self._position = max(0, base[whence] + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, or what of it the member has left."""
        count = max(0, min(len(buffer), self._part.size - self._position))
        self._stream.seek(self._part.offset + self._position)
        data = self._stream.read(count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
