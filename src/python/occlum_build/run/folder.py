"""The temporary directory of a run, which holds what the run writes."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from occlum_build.files.handles import OPEN_DIR
from occlum_build.files.trees import remove_tree

_PREFIX = "occlum-run-"


@contextmanager
def run_folder() -> Iterator[str]:
    """A new directory, removed at the end; so are those of runs that were killed. Raises OSError.

    A lock tells which runs are alive: the kernel lets go of it with the last process that has it.
    """
    _remove_left(tempfile.gettempdir())
    path = tempfile.mkdtemp(prefix=_PREFIX)
    held = os.open(path, OPEN_DIR)
    try:
        with suppress(OSError):  # some file systems have no locks, and nothing is swept there
            fcntl.flock(held, fcntl.LOCK_SH)
        yield path
    finally:
        os.close(held)
        with suppress(OSError):
            remove_tree(path)


def _remove_left(folder: str) -> None:
    for name in sorted(os.listdir(folder)):
        if name.startswith(_PREFIX):
            with suppress(OSError):  # it is another user's, or its run has ended meanwhile
                _remove_one(os.path.join(folder, name))


def _remove_one(path: str) -> None:
    held = os.open(path, OPEN_DIR)
    try:
        # One that is empty may be about to be locked, and has nothing to lose.
        if os.fstat(held).st_uid == os.geteuid() and os.listdir(held):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(path)
    finally:
        os.close(held)
