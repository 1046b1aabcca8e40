from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from occlum_build.sources.model import DIR, SYMLINK
from pants_occlum.dist import memory, tree
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.memory import glance_of
from pants_occlum.dist.tree import TreeWriter
from pants_occlum.dist.tree_test import Disk
from pants_occlum.sysroot.glance import Glance
from pants_occlum.sysroot.listing import Listing, list_directory


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def _empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def _link(root: Path) -> None:
    root.rename(root.with_name("elsewhere"))
    root.symlink_to("elsewhere")


def _same_size(root: Path) -> None:
    status = (root / "a/1").stat()
    (root / "a/1").write_bytes(b"X")
    os.utime(root / "a/1", ns=(status.st_atime_ns, status.st_mtime_ns))


def _link_in_its_place(root: Path) -> None:
    (root / "a").rename(root / "c")
    (root / "a").symlink_to("c")


def _another_target(root: Path) -> None:
    (root / "l").unlink()
    (root / "l").symlink_to("b")


def _another_directory(root: Path) -> None:
    (root / "a/b").rename(root / "moved")
    (root / "a/b").mkdir()


SPOILT: dict[str, Callable[[Path], object]] = {
    "nothing": lambda root: None,
    "another content of the same size and time": _same_size,
    "a file is gone": lambda root: (root / "a/b/2").unlink(),
    "a file too many": lambda root: (root / "a/b/more").write_bytes(b""),
    "a mode": lambda root: (root / "a/b/2").chmod(0o600),
    "a mode of a directory": lambda root: (root / "a/b").chmod(0o700),
    "a directory is gone": lambda root: shutil.rmtree(root / "a/b"),
    "an empty directory is gone": lambda root: (root / "empty").rmdir(),
    "another directory in its place": _another_directory,
    "a link in its place": _link_in_its_place,
    "another target": _another_target,
    "all is gone": shutil.rmtree,
    "the root is empty": _empty,
    "the root is a link": _link,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_glance_changes_nothing_of_what_is_repaired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(memory, "MANY_FILES", 1)
    found = []
    for glanced in (False, True):
        disk = Disk(tmp_path / str(glanced))
        entries = (
            TreeEntry("a", DIR, 0o755),
            disk.file("a/1", b"1"),
            TreeEntry("a/b", DIR, 0o755),
            disk.file("a/b/2", b"2"),
            TreeEntry("empty", DIR, 0o755),
            TreeEntry("l", SYMLINK, 0o777, target="a"),
        )
        steps = [disk.sync(*entries, glanced=glanced) for _ in range(3)]
        spoil(disk.root)
        steps += [disk.sync(*entries, glanced=glanced) for _ in range(3)]
        found.append((steps, disk.removed, disk.listing(), (disk.root / "a/1").read_bytes()))
    assert found[0] == found[1]
    assert found[1][0][-1] == []


def test_a_glance_spares_the_look_at_directories_that_are_as_they_were(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MANY_FILES", 1)
    entries = (disk.file("a/1", b"1"), disk.file("b/2", b"2"))
    for _ in range(3):
        disk.sync(*entries, glanced=True)
    listed: list[bytes | int] = []

    def listing(fd: bytes | int) -> Listing:
        listed.append(fd)
        return list_directory(fd)

    monkeypatch.setattr(tree, "list_directory", listing)
    assert disk.sync(*entries, glanced=True) == []
    assert not listed
    (disk.root / "b/2").write_bytes(b"3")
    assert disk.sync(*entries, glanced=True) == ["b/2"]
    assert (disk.root / "b/2").read_bytes() == b"2"


def test_what_could_not_be_written_is_written_by_the_next_sync_with_a_glance(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MANY_FILES", 1)
    one, other = disk.file("a/1", b"1"), disk.file("b/2", b"2")
    for _ in range(3):
        disk.sync(one, other, glanced=True)
    changed = disk.file("a/1", b"3")
    writer = TreeWriter(
        str(disk.root), (changed, other), disk.index, glance_of(str(disk.root), disk.index)
    )
    assert writer.compare() == [changed]  # and nothing is put
    assert disk.sync(changed, other, glanced=True) == ["a/1"]


def test_entries_that_are_exchanged_in_a_tree(disk: Disk) -> None:
    before = (disk.file("a/1", b"1"), disk.file("a/2", b"2"), disk.file("b/3", b"3"))
    disk.sync(*before)
    after = (before[0], disk.file("a/2", b"twenty-two", 0o755), before[2])
    assert disk.sync(*after) == ["a/2"]
    assert (disk.root / "a/2").read_bytes() == b"twenty-two"
    kinds = (before[0], before[1], TreeEntry("b", DIR, 0o755))
    assert disk.sync(*kinds) == ["a/2"]
    assert not os.listdir(disk.root / "b")


def test_what_changes_after_a_glance_is_repaired_by_the_next_sync(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MANY_FILES", 1)
    entries = (disk.file("a/1", b"1"), disk.file("b/2", b"2"))
    for _ in range(3):
        disk.sync(*entries, glanced=True)

    class Late(Glance):
        def found(self) -> bytes:
            found = super().found()
            (disk.root / "a/1").write_bytes(b"3")
            return found

    monkeypatch.setattr(memory, "Glance", Late)
    assert disk.sync(*entries, glanced=True) == []
    monkeypatch.setattr(memory, "Glance", Glance)
    assert disk.sync(*entries, glanced=True) == ["a/1"]
    assert disk.sync(*entries, glanced=True) == []
    assert (disk.root / "a/1").read_bytes() == b"1"


def test_a_directory_that_is_removed_again_and_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No glance shows it: it is made after each, and gone before the next."""
    monkeypatch.setattr(memory, "MANY_FILES", 1)
    entries = (disk.file("a/b/c/1", b"1"), disk.file("a/2", b"2"))
    for _ in range(3):
        disk.sync(*entries, glanced=True)
    for gone, files in (("a/b", ["a/b/c/1"]), ("a", ["a/2", "a/b/c/1"])):
        for _ in range(3):
            shutil.rmtree(disk.root / gone)
            assert disk.sync(*entries, glanced=True) == files
            assert (disk.root / "a/b/c/1").read_bytes() == b"1"


def test_a_root_that_goes_after_it_was_glanced_at(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "MANY_FILES", 1)
    entries = (disk.file("a/1", b"1"), disk.file("b/2", b"2"))
    for _ in range(3):
        disk.sync(*entries, glanced=True)

    class Late(Glance):
        def __init__(self, tops: Sequence[bytes]) -> None:
            super().__init__(tops)
            self._before = super().found()
            shutil.rmtree(disk.root)

        def found(self) -> bytes:
            return self._before

    monkeypatch.setattr(memory, "Glance", Late)
    assert disk.sync(*entries, glanced=True) == ["a/1", "b/2"]
