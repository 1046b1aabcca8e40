"""Looks at the host with a glance, and without."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pants.engine.internals.session import RunId

from pants_occlum.sysroot import glance, hash_memo, looks, own_keys
from pants_occlum.sysroot import walk as sysroot_walk
from pants_occlum.sysroot.glance import Glance
from pants_occlum.sysroot.listing import Listing, list_directory
from pants_occlum.sysroot.looks import SysrootRequest

NO_KEYS = own_keys.OwnKeys()
SCHEDULER = looks.Scheduler()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


def write(path: Path, content: bytes) -> Path:
    """Write a file, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _another_directory(top: Path) -> None:
    (top / "a/b").rename(top / "b")
    (top / "a/b").mkdir()


def _emptied(top: Path) -> None:
    shutil.rmtree(top)
    top.mkdir()


def _another_top(top: Path) -> None:
    top.rename(top.parent / "old")
    write(top / "z", b"z")


def _another_link(top: Path) -> None:
    (top.parent / "to-c").unlink()
    (top.parent / "to-c").symlink_to("top/a")


def _replaced_by_link(top: Path) -> None:
    (top / "a").rename(top.parent / "moved")
    (top / "a").symlink_to("../moved")


CHANGED: dict[str, Callable[[Path], object]] = {
    "nothing": lambda top: None,
    "a content": lambda top: (top / "a/x").write_bytes(b"another"),
    "a mode": lambda top: (top / "a/x").chmod(0o600),
    "a file more": lambda top: write(top / "a/b/more", b"more"),
    "a file less": lambda top: (top / "a/b/y").unlink(),
    "a directory more": lambda top: write(top / "new/one/file", b"new"),
    "a directory less": lambda top: shutil.rmtree(top / "a/b"),
    "an empty directory less": lambda top: (top / "empty").rmdir(),
    "another directory": _another_directory,
    "a link": _replaced_by_link,
    "a link to a top": _another_link,
    "a file beside the tops": lambda top: write(top.parent / "beside", b"beside"),
    "no file beside the tops": lambda top: (top.parent / "file").unlink(),
    "a content beside the tops": lambda top: write(top.parent / "file", b"another"),
    "a name in a directory beside the tops": lambda top: write(top.parent / "listed/y", b"y"),
    "all": _emptied,
    "another top": _another_top,
    "no top": shutil.rmtree,
}


@pytest.mark.parametrize("settled_ns", [-(1 << 60), 60_000_000, 1 << 60])
@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED.keys())
def test_a_glance_changes_nothing_of_what_is_found(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    settled_ns: int,
) -> None:
    top = root / "top"
    for path in ("a/x", "a/b/y", "c/z"):
        write(top / path, path.encode())
    (top / "empty").mkdir()
    write(root / "file", b"file")
    write(root / "listed/x", b"x")
    (root / "to-c").symlink_to("top/c")
    monkeypatch.setattr(sysroot_walk, "SETTLED_NS", settled_ns)
    memo = hash_memo.HashMemo(str(tmp_path / "memo"))
    asked = SysrootRequest(
        str(root),
        stat_paths=("/beside",),
        hash_paths=("/top/a/x", "/file"),
        trees=("/top", "/to-c"),
        directories=("/top/a", "/listed"),
    )
    glances: list[Sequence[bytes]] = []

    def counted(tops: Sequence[bytes]) -> Glance:
        glances.append(tops)
        return Glance(tops)

    monkeypatch.setattr(glance, "Glance", counted)
    found = []
    for fewest in (1, 1 << 60):
        monkeypatch.setattr(glance, "MANY_FILES", fewest)
        looks._looks.clear()
        snapshots = []
        for number in range(6):
            time.sleep(0.02)  # a tick of the clock of files
            if number == 3 and fewest == 1:
                change(top)
            run = looks.Run(SCHEDULER, RunId(number))
            snapshots.append(looks.look(asked, run, memo, NO_KEYS))
        found.append(snapshots)
    assert len(glances) >= 3 or settled_ns > 0
    assert found[0][0] is found[0][2]
    assert found[0][3:] == found[1][3:]
    assert found[0][4] is found[0][5]


def test_a_glance_spares_the_look_at_each_file(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("a/x", "b/y"):
        write(root / "top" / path, path.encode())
    monkeypatch.setattr(sysroot_walk, "SETTLED_NS", -(1 << 60))
    monkeypatch.setattr(glance, "MANY_FILES", 1)
    listed: list[bytes | int] = []

    def listing(path: bytes | int) -> Listing:
        listed.append(path)
        return list_directory(path)

    monkeypatch.setattr(sysroot_walk, "list_directory", listing)
    memo, asked = (
        hash_memo.HashMemo(str(tmp_path / "memo")),
        SysrootRequest(str(root), trees=("/",)),
    )
    looks._looks.clear()
    for number in range(3):
        looks.look(asked, looks.Run(SCHEDULER, RunId(number)), memo, NO_KEYS)
    listed.clear()
    with monkeypatch.context() as patch:
        patch.delattr(sysroot_walk.SysrootWalk, "walk")  # nor at each directory
        looks.look(asked, looks.Run(SCHEDULER, RunId(3)), memo, NO_KEYS)
    assert not listed
    write(root / "top/b/y", b"another")
    with monkeypatch.context() as patch:
        patch.setattr(sysroot_walk, "SETTLED_NS", 1 << 60)  # it may change again
        looks.look(asked, looks.Run(SCHEDULER, RunId(4)), memo, NO_KEYS)
    assert listed == [os.fsencode(root / "top/b")]
    for number in (5, 6):
        with monkeypatch.context() as patch:
            patch.delattr(sysroot_walk.SysrootWalk, "walk")
            looks.look(asked, looks.Run(SCHEDULER, RunId(number)), memo, NO_KEYS)
    assert listed == [os.fsencode(root / "top/b")] * 2


def test_files_of_a_directory_that_is_only_listed_are_not_read(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(root / "top/x", b"x")
    future = time.time() + 3600
    for number in range(3):
        file = write(root / f"listed/{number}", b"listed")
        os.utime(file, (future, future))
    monkeypatch.setattr(glance, "MANY_FILES", 1)
    monkeypatch.setattr(sysroot_walk, "SETTLED_NS", 0)
    memo = hash_memo.HashMemo(str(tmp_path / "memo"))
    asked = SysrootRequest(str(root), trees=("/top",), directories=("/listed",))
    looks._looks.clear()
    found = []
    for number in range(4):
        time.sleep(0.02)  # a tick of the clock of files
        with monkeypatch.context() as patch:
            if number == 3:
                patch.delattr(sysroot_walk.SysrootWalk, "walk")
            found.append(looks.look(asked, looks.Run(SCHEDULER, RunId(number)), memo, NO_KEYS))
    assert found[3] is found[0]
    for path, entry in found[3].entries.items():
        assert entry is not None
        assert bool(entry.sha256) is (path == "/top/x")
    assert memo.known(os.fsencode(root / "listed/0"), os.lstat(root / "listed/0")) is None


def test_a_content_right_below_the_root_of_a_sysroot(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose path, as the host has it, ends in a slash."""
    file = write(root / "x", b"x")
    write(root / "top/y", b"y")
    monkeypatch.setattr(sysroot_walk, "SETTLED_NS", -(1 << 60))
    monkeypatch.setattr(glance, "MANY_FILES", 1)
    memo = hash_memo.HashMemo(str(tmp_path / "memo"))
    asked = SysrootRequest(str(root), trees=("/",))
    looks._looks.clear()
    sizes = []
    for number in range(4):
        time.sleep(0.02)  # a tick of the clock of files
        if number == 3:
            file.write_bytes(b"another")
        run = looks.Run(SCHEDULER, RunId(number))
        found = looks.look(asked, run, memo, NO_KEYS).entries["/x"]
        assert found is not None
        sizes.append(found.size)
    assert sizes == [1, 1, 1, 7]


@pytest.mark.parametrize("before", [b"as it was", b"changed before, too"])
def test_what_changes_after_a_glance_is_found_by_the_next_look(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bytes
) -> None:
    file = write(root / "top/a/x", b"as it was")
    write(root / "top/b/y", b"y")
    monkeypatch.setattr(sysroot_walk, "SETTLED_NS", -(1 << 60))
    monkeypatch.setattr(glance, "MANY_FILES", 1)
    memo, asked = (
        hash_memo.HashMemo(str(tmp_path / "memo")),
        SysrootRequest(str(root), trees=("/",)),
    )

    class Late(Glance):
        def found(self) -> bytes:
            found = super().found()
            write(file, b"changed late")
            return found

    looks._looks.clear()
    for number in range(6):
        time.sleep(0.02)  # a tick of the clock of files
        if number == 3 and before != b"as it was":
            write(file, before)
        monkeypatch.setattr(glance, "Glance", Late if number == 3 else Glance)
        run = looks.Run(SCHEDULER, RunId(number))
        snapshot = looks.look(asked, run, memo, NO_KEYS)
    walk = sysroot_walk.SysrootWalk(str(root), time.time_ns())
    assert snapshot.entries == looks.found(walk, asked, memo).entries
    assert file.read_bytes() == b"changed late"
