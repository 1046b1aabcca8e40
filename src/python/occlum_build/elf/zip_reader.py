"""The members of a zip archive, read with bounds, as an archive may be made to do harm.

The records are those of PKWARE's APPNOTE.TXT, with what a loader of Python or Java reads of them:
members that are stored or deflated, archives behind other bytes (a `#!` line), and zip64.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from occlum_build.table import Field, Record

MIN_BYTES = 64  # a smaller file holds no ELF file
MAX_DIRECTORY_BYTES = 16 << 20
LOCAL_MAGIC, ENTRY_MAGIC, END_MAGIC = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
SHEBANG = b"#!"
DAMAGED = "it is damaged"

_MAGIC = Field("magic", 0, "4s")
_LOCAL = Record(30, (_MAGIC, Field("name", 26, "H"), Field("extra", 28, "H")))
_ENTRY = Record(
    46,
    (
        *(_MAGIC, Field("flags", 8, "H"), Field("method", 10, "H"), Field("crc", 16, "I")),
        *(Field("packed", 20, "I"), Field("size", 24, "I"), Field("name", 28, "H")),
        *(Field("extra", 30, "H"), Field("comment", 32, "H"), Field("offset", 42, "I")),
    ),
)
_END = Record(22, (_MAGIC, Field("size", 12, "I"), Field("offset", 16, "I")))
_LOCATOR64 = Record(20, (_MAGIC,))
_END64 = Record(56, (_MAGIC, Field("size", 40, "Q"), Field("offset", 48, "Q")))
_LOCATOR64_MAGIC, _END64_MAGIC = b"PK\x06\x07", b"PK\x06\x06"
_TAIL_BYTES = _END.size + 0xFFFF  # the end record, and the longest comment
_IN_EXTRA = 0xFFFFFFFF  # the value is in the zip64 field
_ENCRYPTED, _STORED, _DEFLATED = 1, 0, 8
_HEAD_PACKED_BYTES, _CHUNK_BYTES = 1 << 12, 1 << 20


class BadZip(Exception):
    """What is wrong with an archive, or with one member of it."""


class Member(NamedTuple):
    """A member as the central directory describes it: sizes in bytes, offset in the file."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


def is_zip(stream: BinaryIO) -> bool:
    """Whether a file begins as a zip archive does, or with a `#!` line and ends as one."""
    if stream.seek(0, io.SEEK_END) < MIN_BYTES:
        return False
    stream.seek(0)
    head = stream.read(4)
    if head[:2] == SHEBANG:
        return _find_end(stream) is not None
    return head in (LOCAL_MAGIC, END_MAGIC)


def members(stream: BinaryIO) -> Iterator[Member]:
    """The members in their order, directories among them. Raises BadZip."""
    start, size, base = _directory(stream)
    data = _read(stream, start, size)
    position = 0
    while position < size:
        entry = _unpack(_ENTRY, data[position : position + _ENTRY.size], ENTRY_MAGIC)
        position += _ENTRY.size
        name = data[position : position + entry["name"]]
        position += entry["name"]
        _apply_zip64(entry, data[position : position + entry["extra"]])
        position += entry["extra"] + entry["comment"]
        yield Member(
            name=_decode(name),
            flags=entry["flags"],
            method=entry["method"],
            crc=entry["crc"],
            packed=entry["packed"],
            size=entry["size"],
            offset=base + entry["offset"],
        )


def head(stream: BinaryIO, member: Member) -> bytes:
    """The first 4 bytes of a member, or all of a smaller one. Raises BadZip."""
    position = _data(stream, member)
    data = _read(stream, position, min(member.packed, _HEAD_PACKED_BYTES))
    if member.method == _STORED:
        return data[:4]
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, 4)
    except zlib.error:
        raise BadZip(DAMAGED) from None


def content(stream: BinaryIO, member: Member) -> Iterator[bytes]:
    """A member's content in chunks, never more than its size. Raises BadZip, maybe at the end."""
    packed = _packed(stream, member)
    size = crc = 0
    try:
        for chunk in packed if member.method == _STORED else _inflated(packed):
            size += len(chunk)
            if size > member.size:
                break
            crc = zlib.crc32(chunk, crc)
            yield chunk
    except zlib.error:
        raise BadZip(DAMAGED) from None
    if (size, crc) != (member.size, member.crc):
        raise BadZip(DAMAGED)


def _directory(stream: BinaryIO) -> tuple[int, int, int]:
    """Where the central directory starts, its size, and what all offsets are counted from."""
    end = _find_end(stream)
    if end is None:
        raise BadZip("its end is missing")
    record = _END.unpack(_read(stream, end, _END.size))
    end64 = end - _LOCATOR64.size - _END64.size
    if end64 >= 0:
        both = _read(stream, end64, _END64.size + _LOCATOR64.size)
        if both[_END64.size :].startswith(_LOCATOR64_MAGIC) and both.startswith(_END64_MAGIC):
            record, end = _END64.unpack(both[: _END64.size]), end64
    size = record["size"]
    if size > MAX_DIRECTORY_BYTES:
        raise BadZip(f"its directory has more than {MAX_DIRECTORY_BYTES:,} bytes")
    base = end - size - record["offset"]
    if base < 0:
        raise BadZip(DAMAGED)
    return end - size, size, base


def _find_end(stream: BinaryIO) -> int | None:
    size = stream.seek(0, io.SEEK_END)
    start = max(size - _TAIL_BYTES, 0)
    tail = _read(stream, start, size - start)
    found = tail.rfind(END_MAGIC, 0, len(tail) - _END.size + len(END_MAGIC))
    return None if found < 0 else start + found


def _apply_zip64(entry: dict[str, Any], extra: bytes) -> None:
    wanted = [key for key in ("size", "packed", "offset") if entry[key] == _IN_EXTRA]
    while wanted and len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:
            values = extra[4 : 4 + length].ljust(8 * len(wanted), b"\0")
            entry.update(zip(wanted, struct.unpack_from(f"<{len(wanted)}Q", values)))
            return
        extra = extra[4 + length :]


def _decode(name: bytes) -> str:
    """Also without the flag that says so, names are UTF-8 where they can be."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")


def _data(stream: BinaryIO, member: Member) -> int:
    """Where the packed content of a member starts."""
    if member.flags & _ENCRYPTED:
        raise BadZip("it is encrypted")
    if member.method not in (_STORED, _DEFLATED):
        raise BadZip(f"it is compressed by method {member.method}")
    local = _unpack(_LOCAL, _read(stream, member.offset, _LOCAL.size), LOCAL_MAGIC)
    return int(member.offset + _LOCAL.size + local["name"] + local["extra"])


def _packed(stream: BinaryIO, member: Member) -> Iterator[bytes]:
    position, left = _data(stream, member), member.packed
    while left:
        chunk = _read(stream, position, min(left, _CHUNK_BYTES))
        yield chunk
        position, left = position + len(chunk), left - len(chunk)


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for data in packed:
        while data and not inflater.eof:
            yield inflater.decompress(data, _CHUNK_BYTES)
            data = inflater.unconsumed_tail
    yield inflater.flush()


def _unpack(record: Record, data: bytes, magic: bytes) -> dict[str, Any]:
    if len(data) != record.size or not data.startswith(magic):
        raise BadZip(DAMAGED)
    return record.unpack(data)


def _read(stream: BinaryIO, position: int, size: int) -> bytes:
    """That many bytes; BadZip where the file has not so many."""
    if not 0 <= position < 1 << 62:  # zip64 has offsets that no file can have
        raise BadZip(DAMAGED)
    stream.seek(position)
    data = stream.read(size)
    if len(data) != size:
        raise BadZip(DAMAGED)
    return data
