from __future__ import annotations

from itertools import islice

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sefs.fs_format import (
    Dirent,
    FileType,
    Inode,
    Superblock,
    check_name,
    freemap,
    inode_numbers,
    metadata_length,
    pack_directory,
    superblock_of,
    unpack_directory,
)


def test_inode_numbers_leave_out_freemaps() -> None:
    numbers = list(islice(inode_numbers(), 2047))
    assert numbers[:2] == [2, 3]
    assert numbers[1020:1025] == [1022, 1023, 1024, 1026, 1027]
    assert numbers[2043:2047] == [2046, 2047, 2048, 2050]


@pytest.mark.parametrize(
    ("max_inode", "length"),
    [(2, 368), (1023, 131056), (1024, 131328), (1026, 131440), (2048, 262400)],
)
def test_metadata_length(max_inode: int, length: int) -> None:
    assert metadata_length(max_inode) == length


def test_superblock_counts_freemaps_as_used() -> None:
    assert superblock_of([2]) == Superblock(0x2F8DBE2A, 1024, 1021, 1)
    assert superblock_of([2, 1024]) == Superblock(0x2F8DBE2A, 2048, 2043, 2)


def test_freemap() -> None:
    assert freemap(0, [2, 3]) == b"\xf0" + b"\xff" * 127
    assert freemap(1, [1024, 1033]) == b"\xfc\xfd" + b"\xff" * 126


def test_inode_round_trip() -> None:
    inode = Inode(5, FileType.FILE, 0o640, 1, 0, bytes(range(16)), bytes(range(16, 32)))
    data = inode.pack()
    assert len(data) == 112
    assert Inode.unpack(data) == inode
    assert data[20:80] == bytes(60)


def test_directory_round_trip() -> None:
    child = Dirent(7, "ä".encode(), FileType.SYMLINK)
    content = pack_directory(5, 2, [child])
    assert len(content) == 3 * 264
    assert unpack_directory(content) == [Dirent(5, b".", 2), Dirent(2, b"..", 2), child]


def test_bytes_behind_the_end_of_a_name_are_not_lost() -> None:
    content = bytearray(pack_directory(5, 2, [Dirent(7, b"a", FileType.FILE)]))
    content[2 * 264 + 4 + 100] = 1
    with pytest.raises(OcclumError) as caught:
        check_name(unpack_directory(bytes(content))[2].name)
    assert caught.value.code == "sefs-name"


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0", b"\xff", b"x" * 256])
def test_names_that_cannot_be(name: bytes) -> None:
    with pytest.raises(OcclumError) as caught:
        pack_directory(5, 2, [Dirent(7, name, FileType.FILE)])
    assert caught.value.code == "sefs-name"
