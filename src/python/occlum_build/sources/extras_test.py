from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.sources.extras import copy_ranges, data_ranges, holes_of, write_or_skip, xattrs_of
from occlum_build.sources.os import OsSources, lstat

MIB = 1 << 20


def _sparse(path: Path, size: int, *offsets: int) -> Path:
    """A file with the text "data" at some offsets, and holes between."""
    with open(path, "wb") as file:
        for offset in offsets:
            file.seek(offset)
            file.write(b"data")
        file.truncate(size)
    return path


def test_attributes_that_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    file.touch()
    names = ["user.own", "security.selinux", "security.capability", "user.xdg.origin.url"]
    monkeypatch.setattr(os, "listxattr", lambda path, follow_symlinks: names)
    assert xattrs_of(str(file)) == ("security.capability", "user.own")
    found = lstat(str(file))
    assert found is not None
    assert found.xattrs == ("security.capability", "user.own")


def test_attributes_that_cannot_be_read(tmp_path: Path) -> None:
    assert xattrs_of(str(tmp_path / "gone")) == ()


def test_holes_are_told_of_large_files_that_are_mostly_holes(tmp_path: Path) -> None:
    large = _sparse(tmp_path / "large", 100 * MIB, 3 * MIB, 70 * MIB)
    small = _sparse(tmp_path / "small", MIB, 0)
    found = OsSources().lstat(str(large))
    assert found is not None
    assert 99 * MIB < found.holes < 100 * MIB
    assert holes_of(str(small), small.stat()) == 0
    half = tmp_path / "half"
    half.write_bytes(b"x" * 60 * MIB)
    os.truncate(half, 100 * MIB)
    assert holes_of(str(half), half.stat()) == 0


def test_a_file_system_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = _sparse(tmp_path / "large", 100 * MIB, 0)

    def refused(fd: int, offset: int, whence: int) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "lseek", refused)
    assert holes_of(str(large), large.stat()) == 0


@pytest.mark.parametrize("offsets", [(), (0,), (5 * MIB,), (MIB - 2, 8 * MIB - 4)])
def test_a_copy_has_the_same_bytes_and_holes(tmp_path: Path, offsets: tuple[int, ...]) -> None:
    source, target = _sparse(tmp_path / "source", 8 * MIB, *offsets), tmp_path / "target"
    with open(source, "rb") as original, open(target, "xb", buffering=0) as copy:
        copy_ranges(original.fileno(), copy.fileno(), 8 * MIB)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks
    with open(target, "rb") as copied:
        assert len(data_ranges(copied.fileno(), 8 * MIB)) == len(offsets)


def test_zeros_become_holes(tmp_path: Path) -> None:
    content = b"x" * MIB + bytes(2 * MIB) + b"y" + bytes(MIB)
    with open(tmp_path / "f", "wb") as file:
        for start in range(0, len(content), MIB):
            write_or_skip(file, content[start : start + MIB])
        file.truncate()
    assert (tmp_path / "f").read_bytes() == content
    assert (tmp_path / "f").stat().st_blocks * 512 < 3 * MIB
