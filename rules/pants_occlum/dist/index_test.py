from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from pants_occlum.dist import index as dist_index

ROW = dist_index.IndexRow(1, 2, 3, 4, 5, "00")


def saved_by_another_process(file: str) -> dist_index.DistIndex:
    dist_index._loaded.clear()
    return dist_index.load_index(file)


def test_index_is_saved_by_directory(tmp_path: Path) -> None:
    file = str(tmp_path / "index.rows")
    index = dist_index.load_index(file)
    index.replace("", {"a": ROW})
    index.replace("grün\n/d", {"b": ROW, "a": ROW})
    index.replace("gone", {"a": ROW})
    index.replace("empty", {})
    index.forget_all_but({"", "grün\n/d", "empty"})
    dist_index.save_index(file, index)
    assert dist_index.load_index(file) is index
    assert len((tmp_path / "index.rows").read_text().splitlines()) == 2
    read = saved_by_another_process(file)
    assert read is not index
    assert [read.rows(path) for path in ("", "grün\n/d", "gone", "empty")] == [
        {"a": ROW},
        {"a": ROW, "b": ROW},
        {},
        {},
    ]


def test_only_a_change_is_to_be_saved(tmp_path: Path) -> None:
    file = str(tmp_path / "index.rows")
    index = dist_index.DistIndex()
    assert not index.is_changed
    index.replace("", {"a": ROW})
    assert index.is_changed
    dist_index.save_index(file, index)
    index.replace("", {"a": ROW})
    index.replace("d", {})
    index.forget_all_but({""})
    assert not index.is_changed


def test_index_of_another_process_is_read_again(tmp_path: Path) -> None:
    file = str(tmp_path / "index.rows")
    index = dist_index.load_index(file)
    index.replace("", {"a": ROW})
    dist_index.save_index(file, index)
    (tmp_path / "index.rows").write_text('"d"\t{"b":[1,2,3,4,5,"00"]}\n')
    assert dist_index.load_index(file).rows("d") == {"b": ROW}


@pytest.mark.parametrize(
    "damage",
    [
        *("", "[]", '""\t{"a":[1]}\n', '""\t[1]', '\t{"a":1}', "\x00", '""\t{"a":null}', '""\t'),
        *('""\tnull', '""\t' + "[" * 100_000, "[" * 100_000, '""\t' + '{"a":' * 100_000, "\xff"),
        *('[]\t{"a":[1,2,3,4,5,"00"]}', "{}\t{}", '""\t{"a":"abcde"}', '""\t{"a":' + "9" * 5000),
    ],
)
def test_damaged_index_counts_as_empty(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "index.rows"
    file.write_bytes(damage.encode("latin-1"))
    index = dist_index.load_index(str(file))
    assert index.rows("") == {}
    index.replace("", {"a": ROW})
    dist_index.save_index(str(file), index)
    assert saved_by_another_process(str(file)).rows("") == {"a": ROW}


def make_large(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(6 << 30)


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, make_large, lambda file: file.symlink_to("x")]
)
@pytest.mark.parametrize("suffix", ["", ".new"])
def test_index_that_is_no_file(tmp_path: Path, make: Callable[[Path], None], suffix: str) -> None:
    file = tmp_path / "index.rows"
    make(Path(f"{file}{suffix}"))
    index = dist_index.load_index(str(file))
    assert index.rows("") == {}
    index.replace("", {"a": ROW})
    dist_index.save_index(str(file), index)
    assert saved_by_another_process(str(file)).rows("") == {"a": ROW}
    assert [path.name for path in tmp_path.iterdir()] == ["index.rows"]


def test_index_that_cannot_be_saved_is_only_slower(tmp_path: Path) -> None:
    index = dist_index.DistIndex()
    index.replace("", {"a": ROW})
    dist_index.save_index(str(tmp_path / "none/index.rows"), index)
    assert index.is_changed


def test_lock_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "lock/d").mkdir(parents=True)
    with dist_index.TreeLock(str(tmp_path / "lock"), "dist/x").held_by(object()):
        assert (tmp_path / "lock").is_file()
    (tmp_path / "file").touch()
    lock = dist_index.TreeLock(str(tmp_path / "file/lock"), "dist/x")
    with pytest.raises(OcclumError, match="file: cannot be written"), lock.held_by(object()):
        pass


def test_other_process_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    threading.Timer(0.3, os.close, [other]).start()
    owner = object()
    with dist_index.TreeLock(str(tmp_path / "lock"), "dist/x").held_by(owner):
        assert caplog.messages == ["Waiting for another run of Pants that writes to dist/x."]
        with pytest.raises(BlockingIOError), (tmp_path / "lock").open() as third:
            fcntl.flock(third, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (tmp_path / "lock").open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_newer_owner_takes_the_lock_over(tmp_path: Path) -> None:
    lock = dist_index.tree_lock(str(tmp_path / "lock"), "dist/x")
    older, newer = object(), object()
    with lock.held_by(older), lock.held_by(newer):
        with pytest.raises(OcclumError, match="writes to dist/x"), lock.turn_of(older):
            pass
        with lock.turn_of(newer):
            assert lock.is_held_by(newer)
