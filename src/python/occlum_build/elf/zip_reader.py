"""Zip archives by the standard library's zipfile, with bounds, as one may be made to do harm.

What is wrong with one is told in texts of our own, and members are stored or deflated: results are
cached by content alone, while zipfile's texts, and what it can unpack, differ between Pythons.
"""

from __future__ import annotations

import contextlib
import errno
import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast

from occlum_build.elf.facts import SHEBANG

if TYPE_CHECKING:  # slow to import, and most files are no archives
    import zipfile

MIN_BYTES = 64  # a smaller file holds no ELF file
MAX_DIRECTORY_BYTES = 16 << 20
LOCAL_MAGIC, END_MAGIC = b"PK\x03\x04", b"PK\x05\x06"
DAMAGED = "it is damaged"

_LOCAL_BYTES = 30  # of a member's header, without its name
_END_BYTES, _COMMENT_BYTES = 22, 0xFFFF  # the end record, behind which a comment may stand
_STORED, _DEFLATED = _METHODS = 0, 8
_ENCRYPTED, _UTF8 = 1, 1 << 11  # flags of a member
_FIRST_BYTES, _CHUNK_BYTES = 1 << 8, 1 << 20
_LOCAL = struct.Struct("<4s2xH18xHH")  # its magic number, flags, sizes of name and extra field
_UNUSUAL = _ENCRYPTED | 1 << 5 | 1 << 6  # flags: also of patches and of strong encryption
_READ_BYTES = 4096  # that zipfile reads at once


class BadZip(Exception):
    """What is wrong with an archive, or with one member of it."""


def is_zip(stream: BinaryIO) -> bool:
    """Whether a file begins as a zip archive does, or with a `#!` line and ends as one."""
    if stream.seek(0, io.SEEK_END) < MIN_BYTES:
        return False
    stream.seek(0)
    head = stream.read(4)
    return head in (LOCAL_MAGIC, END_MAGIC) or (head[:2] == SHEBANG and _has_end(stream))


def open_zip(stream: BinaryIO) -> zipfile.ZipFile:
    """The archive in a seekable stream, which stays open when it is closed. Raises BadZip."""
    import zipfile

    if not _has_end(stream):
        raise BadZip("its end is missing")
    with _told():
        return zipfile.ZipFile(cast("BinaryIO", _Bounded(stream)))


def overlapping_members(archive: zipfile.ZipFile) -> frozenset[zipfile.ZipInfo]:
    """The members whose bytes reach into those of another one, or of the directory.

    Without them no byte of an archive is unpacked twice. Of several at one place the last of the
    directory is none of them.
    """
    found, end = [], archive.start_dir
    members = [one for one in archive.infolist() if one.file_size >= MIN_BYTES]
    for member in sorted(members, key=lambda one: one.header_offset)[::-1]:
        if member.header_offset + _LOCAL_BYTES + member.compress_size > end:
            found.append(member)
        end = member.header_offset
    return frozenset(found)


def member_name(member: zipfile.ZipInfo) -> str:
    """Also without the flag that says so, names are UTF-8 where they can be."""
    name = member.orig_filename  # `filename` ends at a NUL
    if member.flag_bits & _UTF8:
        return name
    try:
        return name.encode("cp437").decode("utf-8")  # zipfile took the bytes for cp437
    except UnicodeDecodeError:
        return name


def member_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's content in chunks, a short one first. Raises BadZip, maybe at the end."""
    if member.flag_bits & _ENCRYPTED:
        raise BadZip("it is encrypted")
    if member.compress_type not in _METHODS:
        raise BadZip(f"it is compressed by method {member.compress_type}")
    left = member.file_size
    with _told(), archive.open(member) as file:
        chunk = file.read(_FIRST_BYTES)
        while chunk:
            left -= len(chunk)
            yield chunk
            chunk = file.read(_CHUNK_BYTES)
    if left:
        raise BadZip(DAMAGED)


def start_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    """What a member starts with, None where `member_content` may find something wrong so far.

    As that reads it, in a fraction of the time: an archive has thousands that begin as no ELF file.
    """
    import zlib

    if member.flag_bits & _UNUSUAL or member.compress_type not in _METHODS:
        return None
    file = cast("BinaryIO", archive.fp)
    try:
        file.seek(member.header_offset)
        head = file.read(_LOCAL_BYTES + _READ_BYTES)
        magic, flags, name_size, extra_size = _LOCAL.unpack_from(head)
        name = member.orig_filename.encode("utf-8" if member.flag_bits & _UTF8 else "cp437")
        start = _LOCAL_BYTES + name_size + extra_size
        end = getattr(member, "_end_offset", None)  # of newer Pythons
        is_beyond = end is not None and member.header_offset + start + member.compress_size > end
        if magic != LOCAL_MAGIC or (flags ^ member.flag_bits) & _UTF8 or is_beyond:
            return None
        if head[_LOCAL_BYTES : _LOCAL_BYTES + name_size] != name:
            return None
        size = min(member.compress_size, _READ_BYTES)
        packed = head[start : start + size]
        if len(packed) < size:
            file.seek(member.header_offset + start)
            packed = file.read(size)
        return _unpacked_start(member, packed) if len(packed) == size else None
    except (OSError, OverflowError, ValueError, struct.error, zlib.error):
        return None


def _unpacked_start(member: zipfile.ZipInfo, packed: bytes) -> bytes | None:
    import zlib

    data, is_end = packed, member.compress_size == len(packed)
    if member.compress_type == _DEFLATED:
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        data = unpacker.decompress(packed, _READ_BYTES)
        is_end = unpacker.eof or (is_end and not unpacker.unconsumed_tail)
        if is_end:
            data += unpacker.flush()
    data = data[: member.file_size]
    if is_end or len(data) == member.file_size:
        return data if data and zlib.crc32(data) == member.CRC else None
    return data if len(data) >= _FIRST_BYTES else None


class _Bounded:
    """What zipfile reads a stream by: it reads a whole directory at once, of any size."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY_BYTES:
            raise BadZip(f"its directory has more than {MAX_DIRECTORY_BYTES:,} bytes")
        return self._stream.read(size)


def _has_end(stream: BinaryIO) -> bool:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(size - _END_BYTES - _COMMENT_BYTES, 0))
    tail = stream.read(_END_BYTES + _COMMENT_BYTES)
    return tail.rfind(END_MAGIC, 0, len(tail) - _END_BYTES + len(END_MAGIC)) >= 0


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Whatever zipfile raises for the content of an archive, as BadZip."""
    import zipfile
    import zlib

    try:
        yield
    except NotImplementedError:
        raise BadZip("it needs a newer reader of archives") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a seek to where no file can have anything
            raise
        raise BadZip(DAMAGED) from None
    except (zipfile.BadZipFile, EOFError, OverflowError, ValueError, struct.error, zlib.error):
        raise BadZip(DAMAGED) from None
