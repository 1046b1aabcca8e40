"""Reads images and walks their trees; nothing in an image is believed (docs/sefs-format.md, 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from occlum_build.errors import OcclumError
from occlum_build.sefs.fs_format import (
    BLOCK_SIZE,
    BLOCKS_PER_GROUP,
    DIRENT,
    INODE,
    MAGIC,
    METADATA_NAME,
    ROOT_INODE,
    SUPERBLOCK,
    Dirent,
    FileType,
    Inode,
    Superblock,
    check_name,
    is_freemap,
    metadata_length,
    unpack_directory,
)
from occlum_build.sefs.hostio import place_of
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.pf_crypto import opener_for
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.pf_reader import PfReader
from occlum_build.shown import escaped, quoted

MAX_PATH = 4096
MAX_LINK_TARGET = 4095

OnError = Callable[[OcclumError], None]


@dataclass(frozen=True)
class ImageEntry:
    """One entry of the tree in an image; `path` is relative, "" is the root."""

    path: bytes
    number: int
    inode: Inode


class ImageReader:
    """An open image. Raises OcclumError that names the protected file, and the path in the image.

    `mac` (16 bytes): what the MAC of `metadata` must be. Codes: those of PfReader; `sefs-mac`,
    `sefs-superblock`, `sefs-inode`, `sefs-dirent`, `sefs-name`, `sefs-cycle`, `sefs-link`.
    """

    def __init__(
        self, image: Path, user_key: UserKey | None = None, *, mac: bytes | None = None
    ) -> None:
        self.image = image
        self._opener = opener_for(user_key)
        self.metadata = PfReader(image / METADATA_NAME, self._opener)
        try:
            if mac is not None and self.metadata.mac != mac:
                raise OcclumError(
                    "sefs-mac",
                    f"the MAC is {format_mac(self.metadata.mac)}, not {format_mac(mac)}",
                    place=place_of(self.metadata.path),
                )
            self.superblock = self._read_superblock()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self.metadata.close()

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _read_superblock(self) -> Superblock:
        place = place_of(self.metadata.path)
        if self.metadata.size < metadata_length(ROOT_INODE):
            message = f"{self.metadata.size} bytes have no room for the root inode"
            raise OcclumError("sefs-superblock", message, place=place)
        superblock = Superblock(**SUPERBLOCK.unpack(self.metadata.read(0, SUPERBLOCK.size)))
        groups = self.metadata.size // BLOCK_SIZE // BLOCKS_PER_GROUP + 1
        if superblock.magic != MAGIC:
            raise OcclumError("sefs-superblock", "no magic number in the superblock", place=place)
        if superblock.blocks != superblock.groups * BLOCKS_PER_GROUP:
            message = f"{superblock.groups} groups do not have {superblock.blocks} blocks"
            raise OcclumError("sefs-superblock", message, place=place)
        if superblock.groups != groups:
            message = f"{self.metadata.size} bytes are not {superblock.groups} groups of blocks"
            raise OcclumError("sefs-superblock", message, place=place)
        return superblock

    def inode(self, number: int) -> Inode:
        """The inode with this number; raises `sefs-inode` when the table has no room for it."""
        start = number * BLOCK_SIZE
        if number < ROOT_INODE or is_freemap(number) or start + INODE.size > self.metadata.size:
            raise self.error("sefs-inode", f"there is no inode {number}")
        inode = Inode.unpack(self.metadata.read(start, INODE.size))
        if inode.type not in tuple(FileType):
            raise self.error("sefs-inode", f"inode {number} has the type {inode.type}")
        return inode

    def open(self, number: int, inode: Inode) -> PfReader:
        """The content of an inode; raises `sefs-mac` when it is not the file the inode means."""
        reader = PfReader(self.image / inode.disk_filename.hex(), self._opener)
        size = DIRENT.size * inode.blocks if inode.type == FileType.DIR else inode.size
        if reader.mac == inode.inode_mac and reader.size == size:
            return reader
        reader.close()
        place = place_of(reader.path)
        if reader.mac != inode.inode_mac:
            message = f"node 0: the MAC is not the one that inode {number} holds"
            raise OcclumError("sefs-mac", message, place=place)
        message = f"holds {reader.size} bytes, inode {number} says {size}"
        raise OcclumError("sefs-inode", message, place=place)

    def link_target(self, number: int, inode: Inode) -> bytes:
        """The target of a symlink, 1 to 4095 bytes without NUL; else raises `sefs-link`."""
        with self.open(number, inode) as reader:
            target = reader.read_all() if 1 <= reader.size <= MAX_LINK_TARGET else b""
        if not target or b"\0" in target:
            raise self.error("sefs-link", f"inode {number} has no possible target of a symlink")
        return target

    def directory(self, number: int, inode: Inode, parent: int) -> list[Dirent]:
        """The checked entries of a directory without `.` and `..`, as stored."""
        if not 2 <= inode.blocks <= self.superblock.blocks + 2:
            raise self.error("sefs-inode", f"directory {number} has {inode.blocks} entries")
        with self.open(number, inode) as reader:
            entries = unpack_directory(reader.read_all())
            place = place_of(reader.path)
        dots = [Dirent(number, b".", FileType.DIR), Dirent(parent, b"..", FileType.DIR)]
        if entries[:2] != dots:
            message = f"directory {number} does not begin with its own '.' and '..'"
            raise OcclumError("sefs-dirent", message, place=place)
        names = set()
        for entry in entries[2:]:
            check_name(entry.name)
            if entry.name in names:
                message = f"directory {number} has {quoted(entry.name)} twice"
                raise OcclumError("sefs-dirent", message, place=place)
            names.add(entry.name)
        subdirectories = sum(entry.type == FileType.DIR for entry in entries[2:])
        if inode.nlinks != 2 + subdirectories:
            message = f"directory {number}: {inode.nlinks} links, {subdirectories} subdirectories"
            raise self.error("sefs-inode", message)
        return entries[2:]

    def error(self, code: str, message: str) -> OcclumError:
        """An error in the inode table."""
        return OcclumError(code, message, place=place_of(self.metadata.path))

    def in_image(self, error: OcclumError, path: bytes) -> OcclumError:
        """The same error with the path in the image added."""
        problem = error.problems[0]
        place = problem.place or place_of(self.metadata.path)
        message = f"{problem.message} (in the image: /{escaped(path)})"
        return OcclumError(problem.code, message, place=place, hint=problem.hint)

    def walk(self, on_error: OnError | None = None) -> Iterator[ImageEntry]:
        """All entries, parents first, in the order they are stored.

        An inode that is met twice (hard link, cycle) is an error: new images have none. Errors go
        to `on_error`, by default they are raised; the walk goes on without what is damaged.
        """
        return _Walk(self, on_error).entries()


class _Walk:
    """One walk over a tree; `seen` stops cycles, MAX_PATH the growth of paths."""

    def __init__(self, reader: ImageReader, on_error: OnError | None) -> None:
        self._reader = reader
        self._on_error = on_error
        self._seen: set[int] = set()
        self._files: set[bytes] = set()

    def entries(self) -> Iterator[ImageEntry]:
        pending = [(b"", ROOT_INODE, Dirent(ROOT_INODE, b"", FileType.DIR))]
        while pending:
            directory, parent, entry = pending.pop()
            path = directory + b"/" + entry.name if directory else entry.name
            try:
                inode = self._inode(path, entry)
                children = []
                if inode.type == FileType.DIR:
                    children = self._reader.directory(entry.inode, inode, parent)
            except OcclumError as error:
                self._handle(path, error)
                continue
            yield ImageEntry(path, entry.inode, inode)
            pending += ((path, entry.inode, child) for child in reversed(children))

    def _inode(self, path: bytes, entry: Dirent) -> Inode:
        reader = self._reader
        if len(path) > MAX_PATH:
            raise reader.error("sefs-name", f"a path of {len(path)} bytes is too long")
        if entry.inode in self._seen:
            raise reader.error("sefs-cycle", f"inode {entry.inode} is in the tree twice")
        self._seen.add(entry.inode)
        inode = reader.inode(entry.inode)
        if inode.type != entry.type:
            message = f"inode {entry.inode} has the type {inode.type}, its entry {entry.type}"
            raise reader.error("sefs-dirent", message)
        if inode.type != FileType.DIR and inode.nlinks != 1:
            raise reader.error("sefs-inode", f"inode {entry.inode} has {inode.nlinks} links, not 1")
        if inode.disk_filename in self._files:
            raise reader.error("sefs-inode", f"inode {entry.inode} shares the file of another")
        self._files.add(inode.disk_filename)
        return inode

    def _handle(self, path: bytes, error: OcclumError) -> None:
        named = self._reader.in_image(error, path)
        if self._on_error is None:
            raise named from error
        self._on_error(named)
