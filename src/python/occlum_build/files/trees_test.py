from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.files.trees import remove_tree, walk


def make_deep(root: Path, levels: int, name: str = "d") -> None:
    """Nested directories with a file in each, however long the path becomes."""
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
        os.close(os.open("f", os.O_WRONLY | os.O_CREAT, dir_fd=here))
    os.close(here)


@pytest.mark.parametrize(("levels", "name"), [(1200, "d"), (5000, "d"), (300, "n" * 200)])
def test_a_deep_tree_is_removed(tmp_path: Path, levels: int, name: str) -> None:
    make_deep(tmp_path / "deep", levels, name)
    remove_tree(tmp_path / "deep")
    assert not list(tmp_path.iterdir())


def test_links_are_deleted_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/f").touch()
    (tmp_path / "t/a/b").mkdir(parents=True)
    (tmp_path / "t/a/link").symlink_to(tmp_path / "kept")
    os.mkfifo(tmp_path / "t/fifo")
    remove_tree(tmp_path / "t")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["f", "kept"]
    (tmp_path / "link").symlink_to("kept")
    with pytest.raises(OSError):
        remove_tree(tmp_path / "link")
    assert (tmp_path / "kept/f").exists()


def test_modes_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "t/closed/in").mkdir(parents=True)
    (tmp_path / "t/closed/in/f").touch()
    for path in ("t/closed/in", "t/closed", "t"):
        (tmp_path / path).chmod(0)
    if os.geteuid() == 0:  # for root they never are
        child = os.fork()
        if child == 0:
            os.chown(tmp_path, 65534, 65534)
            for path in ("t", "t/closed", "t/closed/in", "t/closed/in/f"):
                os.chown(tmp_path / path, 65534, 65534)
            os.chdir(tmp_path)
            os.setuid(65534)
            try:
                remove_tree("t")
                os._exit(0)
            except OSError:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    else:
        remove_tree(tmp_path / "t")
    assert not list(tmp_path.iterdir())


def test_walk_gives_each_entry_after_its_directory(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").touch()
    (tmp_path / "a/link").symlink_to(tmp_path)
    paths = [path for path, _ in walk(tmp_path)]
    assert sorted(paths) == ["a", "a/b", "a/b/f", "a/link"]
    assert paths.index("a") < paths.index("a/b") < paths.index("a/b/f")
    assert [entry.path for path, entry in walk(tmp_path) if path == "a"] == [f"{tmp_path}/a"]


def test_walk_takes_deep_trees_up_to_what_a_path_may_have(tmp_path: Path) -> None:
    make_deep(tmp_path / "deep", 1200)
    assert len(list(walk(tmp_path / "deep"))) == 2400
    make_deep(tmp_path / "deeper", 5000)
    with pytest.raises(OSError) as error:
        list(walk(tmp_path / "deeper"))
    assert error.value.filename == str(tmp_path / "deeper")
    assert error.value.strerror == "holds a path of more than 4095 bytes"
    for name in ("deep", "deeper"):
        remove_tree(tmp_path / name)  # as pytest's own clean-up cannot
