from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from pants_occlum.util_rules import dist_index


@pytest.mark.parametrize("damage", ["", "[]", '{"files": {"a": [1]}}', "\x00"])
def test_damaged_index_counts_as_empty(tmp_path: Path, damage: str) -> None:
    index = tmp_path / "index.json"
    row = dist_index.IndexRow(1, 2, 3, 4, 5, "00")
    dist_index.save_index(str(index), {"a": row})
    assert dist_index.load_index(str(index)) == {"a": row}
    index.write_text(damage)
    assert dist_index.load_index(str(index)) == {}


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
