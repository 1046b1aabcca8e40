"""Secure file system: records of `metadata` and directories (docs/sefs-format.md, 4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.shown import quoted
from occlum_build.table import Field, Record

MAGIC = 0x2F8DBE2A
BLOCK_SIZE = 128
BLOCKS_PER_GROUP = 1024
ROOT_INODE = 2
METADATA_NAME = "metadata"
MAX_NAME = 255
MAX_SUBDIRECTORIES = 65533
PERMISSION_BITS = 0o777
ROOT_MODE = 0o755

SUPERBLOCK = Record(
    16,
    (
        Field("magic", 0, "I"),
        Field("blocks", 4, "I"),
        Field("unused_blocks", 8, "I"),
        Field("groups", 12, "I"),
    ),
)
INODE = Record(
    112,
    (
        Field("size", 0, "Q"),
        Field("type", 8, "I"),
        Field("mode", 12, "H"),
        Field("nlinks", 14, "H"),
        Field("blocks", 16, "I"),
        Field("uid", 20, "I"),
        Field("gid", 24, "I"),
        Field("atime_sec", 32, "q"),
        Field("atime_nsec", 40, "q"),
        Field("mtime_sec", 48, "q"),
        Field("mtime_nsec", 56, "q"),
        Field("ctime_sec", 64, "q"),
        Field("ctime_nsec", 72, "q"),
        Field("disk_filename", 80, "16s"),
        Field("inode_mac", 96, "16s"),
    ),
)
_NO_OWNER_AND_TIMES = (0,) * 8
DIRENT = Record(264, (Field("inode", 0, "I"), Field("name", 4, "256s"), Field("type", 260, "I")))


class FileType(IntEnum):
    """Types of inodes and directory entries that an image may hold."""

    FILE = 1
    DIR = 2
    SYMLINK = 3


class Dirent(NamedTuple):
    """A directory entry; the type is what the bytes say and may be no FileType."""

    inode: int
    name: bytes
    type: int


class Superblock(NamedTuple):
    magic: int
    blocks: int
    unused_blocks: int
    groups: int


class Inode(NamedTuple):
    """What this library uses of an inode: sizes in bytes, mode as st_mode's permission bits."""

    size: int
    type: int
    mode: int
    nlinks: int
    blocks: int
    disk_filename: bytes
    inode_mac: bytes

    def pack(self) -> bytes:
        """The 112 bytes of the inode; owner and times are zero, as in every new image."""
        size, file_type, mode, nlinks, blocks, disk_filename, mac = self
        return INODE.pack_in_order(
            size, file_type, mode, nlinks, blocks, *_NO_OWNER_AND_TIMES, disk_filename, mac
        )

    @classmethod
    def unpack(cls, data: bytes) -> Inode:
        """The inode of its 112 bytes."""
        values = INODE.unpack(data)
        return cls(*(values[name] for name in cls._fields))


def disk_filename(inode: int) -> bytes:
    """The 16 bytes whose hex form is the name of the inode's protected file in a new image."""
    return inode.to_bytes(16, "little")


def inode_numbers() -> Iterator[int]:
    """2, 3, ... without the blocks that hold freemaps (1025, 2049, ...)."""
    number = ROOT_INODE
    while True:
        if not is_freemap(number):
            yield number
        number += 1


def is_freemap(block: int) -> bool:
    return block % BLOCKS_PER_GROUP == 1


def metadata_length(max_inode: int) -> int:
    """Plaintext bytes of `metadata` when `max_inode` is the highest inode in use (section 4.2)."""
    last_freemap = max_inode // BLOCKS_PER_GROUP * BLOCKS_PER_GROUP + 1
    return max(BLOCK_SIZE * max_inode + INODE.size, BLOCK_SIZE * (last_freemap + 1))


def freemap(group: int, inodes: Iterable[int]) -> bytes:
    """The 128 bytes of the freemap of a group in which these inodes are in use (bit 1 = free)."""
    bits = bytearray(b"\xff" * BLOCK_SIZE)
    reserved = (0, 1) if group == 0 else (1,)
    for bit in (*reserved, *(inode % BLOCKS_PER_GROUP for inode in inodes)):
        bits[bit // 8] &= ~(1 << bit % 8)
    return bytes(bits)


def superblock_of(inodes: Sequence[int]) -> Superblock:
    """The superblock of an image with these inodes, ascending."""
    groups = inodes[-1] // BLOCKS_PER_GROUP + 1
    blocks = BLOCKS_PER_GROUP * groups
    return Superblock(MAGIC, blocks, blocks - groups - 1 - len(inodes), groups)


def by_group(inodes: Sequence[int]) -> dict[int, list[int]]:
    """The inodes (ascending) of each group, for every group up to the last."""
    groups: dict[int, list[int]] = {g: [] for g in range(superblock_of(inodes).groups)}
    for inode in inodes:
        groups[inode // BLOCKS_PER_GROUP].append(inode)
    return groups


def pack_metadata(inodes: Sequence[tuple[int, Inode]]) -> bytes:
    """The plaintext of `metadata` with these numbered inodes, ascending."""
    numbers = [number for number, _ in inodes]
    data = bytearray(metadata_length(numbers[-1]))
    data[: SUPERBLOCK.size] = SUPERBLOCK.pack(**superblock_of(numbers)._asdict())
    for group, members in by_group(numbers).items():
        start = BLOCK_SIZE * (BLOCKS_PER_GROUP * group + 1)
        data[start : start + BLOCK_SIZE] = freemap(group, members)
    for number, inode in inodes:
        start = BLOCK_SIZE * number
        data[start : start + INODE.size] = inode.pack()
    return bytes(data)


def pack_directory(inode: int, parent: int, children: Iterable[Dirent]) -> bytes:
    """The content of a directory: `.`, `..` and the children as they come.

    Raises OcclumError `sefs-name` for a name that is empty, longer than 255 bytes or not UTF-8.
    """
    dots = (Dirent(inode, b".", FileType.DIR), Dirent(parent, b"..", FileType.DIR))
    for child in (children := tuple(children)):
        check_name(child.name)
    return b"".join(DIRENT.pack_in_order(*entry) for entry in (*dots, *children))


def unpack_directory(content: bytes) -> list[Dirent]:
    """The entries of a directory as stored; its length must be a multiple of 264."""
    entries = []
    for start in range(0, len(content), DIRENT.size):
        values = DIRENT.unpack(content[start : start + DIRENT.size])
        name, _, rest = values["name"].partition(b"\0")
        # A name with bytes after its NUL is kept whole, so that check_name refuses it.
        entries.append(
            Dirent(values["inode"], values["name"] if rest.strip(b"\0") else name, values["type"])
        )
    return entries


def check_name(name: bytes) -> None:
    """Raise OcclumError `sefs-name` unless `name` can be the name of a child of a directory."""
    if not 1 <= len(name) <= MAX_NAME:
        raise OcclumError("sefs-name", f"a name must have 1 to {MAX_NAME} bytes: {quoted(name)}")
    if name in (b".", b"..") or b"/" in name or b"\0" in name:
        raise OcclumError("sefs-name", f"{quoted(name)} cannot be the name of a directory entry")
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        message = f"the name {quoted(name)} is not UTF-8"
        raise OcclumError("sefs-name", message, hint="rename it") from None
