"""A sync of dist that fails or is killed leaves each file as it was or as it shall be.

Each system call of a sync is hit: each fails with EIO or ENOSPC, and before each that changes files
comes SIGKILL. The next sync completes the tree, and nothing is left over. How many were hit is
recorded.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from hostile import dist_sync
from hostile.injected import KILL, Call, Injector, Ran

OLD, NEW = ({**state, "link": b"target%d" % n} for n, state in enumerate(dist_sync.STATES))


@pytest.fixture(scope="module")
def injector() -> Iterator[Injector]:
    with Injector(["hostile.dist_sync"]) as one:
        yield one


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, KILL])
def test_a_sync_that_is_hit(
    injector: Injector,
    tmp_path: Path,
    error: int,
    record_property: Callable[[str, object], None],
) -> None:
    root, index, top = tmp_path / "at/dist", tmp_path / "at/index", tmp_path / "at"
    dist_sync.write_pack(str(root))

    def prepare() -> None:
        if top.exists():
            shutil.rmtree(top)
        top.mkdir()
        dist_sync.sync(str(root), str(index), 0)
        assert dist_sync.seen(root) == OLD

    call = Call("hostile.dist_sync:sync", (str(root), str(index), 1), tmp_path)
    injector.run(call)
    count = 0
    for ran in injector.each(call, error, prepare):
        count += 1
        check(root, ran)
        dist_sync.sync(str(root), str(index), 1)
        assert dist_sync.seen(root) == NEW, ran
        assert sorted(path.name for path in top.iterdir()) == ["dist", "index"], ran
        assert (root / "closed").stat().st_mode & 0o777 == 0o555
    assert count > 30
    record_property("syncs that were hit", count)


def check(root: Path, ran: Ran) -> None:
    """Each file is an old or a new one; others are known by their names and go in the next sync."""
    for path, content in dist_sync.seen(root).items():
        if not Path(path).parts[0].startswith(".occlum-") and ".occlum-" not in path:
            assert content in (OLD.get(path), NEW.get(path)), (path, ran)
    if ran.code > 0 and ran.has_traceback:
        assert "OcclumError: " in ran.err, ran
        assert ".occlum-" not in ran.err.splitlines()[-1], ran
