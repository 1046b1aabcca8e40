from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from occlum_build.files import handles
from occlum_build.files.handles import (
    MOST_OPEN,
    PASS_DIR,
    DirectoryHandles,
    make_directories,
    remove_entry,
)

DEEP = 2100  # levels; the path of the last one is longer than what the kernel takes


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def make_deep(root: Path, name: str = "d") -> None:
    """A chain of directories with a file in the last, made without any path."""
    here = os.open(root, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def remove(path: Path) -> None:
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        remove_entry(parent, path.name)
    finally:
        os.close(parent)


def test_directories_are_reached_and_few_stay_open(tmp_path: Path) -> None:
    for number in range(3 * MOST_OPEN):
        (tmp_path / f"a/d{number}").mkdir(parents=True)
    before = open_files()
    with DirectoryHandles(str(tmp_path)) as root:
        for number in range(3 * MOST_OPEN):
            here, name = root.beside(f"a/d{number}/f")
            assert name == "f"
            assert os.path.samestat(os.fstat(here), (tmp_path / f"a/d{number}").stat())
            assert os.path.samestat(os.fstat(root.at("")), tmp_path.stat())
        assert open_files() <= before + MOST_OPEN + 1
        assert root.path("") == str(tmp_path)
        assert root.path("a/b") == f"{tmp_path}/a/b"
    assert open_files() == before


def test_a_directory_that_is_deeper_than_any_path(tmp_path: Path) -> None:
    make_deep(tmp_path)
    path = "/".join(["d"] * DEEP)
    with DirectoryHandles(str(tmp_path)) as root:
        assert os.listdir(root.at(path)) == ["f"]
        for count in range(DEEP, 0, -150):  # and up again
            root.at("/".join(["d"] * count))
    remove(tmp_path / "d")


@pytest.mark.parametrize("flags", [handles.OPEN_DIR, PASS_DIR])
def test_a_link_on_the_way_is_not_followed(tmp_path: Path, flags: int) -> None:
    (tmp_path / "real/below").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/link").symlink_to(tmp_path / "real")
    with DirectoryHandles(str(tmp_path), flags) as root:
        for path in ("a/link", "a/link/below"):
            with pytest.raises(OSError, match="Not a directory") as raised:
                root.at(path)
            assert raised.value.filename == f"{tmp_path}/a/link"


def test_directories_are_made_and_the_last_one_has_its_mode_whatever_the_umask(
    tmp_path: Path,
) -> None:
    before = os.umask(0o077)
    try:
        make_directories(f"{tmp_path}/a/b/c")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / one).stat().st_mode) for one in ("a", "a/b", "a/b/c")]
    assert modes == [0o700, 0o700, 0o755]
    (tmp_path / "a/b/c").chmod(0o700)
    make_directories(f"{tmp_path}/a/b/c")
    assert stat.S_IMODE((tmp_path / "a/b/c").stat().st_mode) == 0o700


def test_many_levels_are_made_without_recursion(tmp_path: Path) -> None:
    make_directories(f"{tmp_path}{'/d' * 1200}")
    remove(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []


def test_trees_are_removed_whatever_their_depth(tmp_path: Path) -> None:
    make_deep(tmp_path)
    before = open_files()
    remove(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before


def test_trees_are_removed_with_all_kinds_and_modes_and_without_following(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    for name in ("a/b/c", "a/b2", "x/y"):
        (tree / name).mkdir(parents=True)
    (tree / "a/b/link").symlink_to(outside)
    (tree / "a/file").touch(0o000)
    os.mkfifo(tree / "x/y/fifo")
    for name in ("a/b/c", "x/y", "x"):
        (tree / name).chmod(0o000)
    remove(tree)
    assert not tree.exists()
    (tmp_path / "file").touch()
    remove(tmp_path / "file")
    (tmp_path / "link").symlink_to(outside)
    remove(tmp_path / "link")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kept", "outside"]


def test_a_directory_that_is_moved_while_it_is_removed_leads_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "elsewhere/kept").mkdir(parents=True)
    openat = os.open

    def moving(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "..":
            os.rename(tmp_path / "tree/a/b", tmp_path / "elsewhere/b")
        return openat(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", moving)
    before = open_files()
    with pytest.raises(OSError, match="it was moved while it was removed"):
        remove(tmp_path / "tree")
    assert open_files() == before
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["b", "kept"]
