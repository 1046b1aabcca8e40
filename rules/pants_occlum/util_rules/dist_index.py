"""What a former sync left of a tree in dist: an index of its files, and the lock over it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from occlum_build.errors import OcclumError

logger = logging.getLogger(__name__)


class IndexRow(NamedTuple):
    """A file as lstat tells of it right after it was written, and what was written."""

    size: int
    mtime_ns: int
    ctime_ns: int
    ino: int
    mode: int
    sha256: str


def row_of(found: os.stat_result, sha256: str) -> IndexRow:
    return IndexRow(
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
        found.st_mode,
        sha256,
    )


def load_index(file: str) -> dict[str, IndexRow]:
    """Path -> row; empty when there is no index that can be read, so that all is written again."""
    try:
        with open(file, encoding="utf-8") as stream:
            data = json.load(stream)
        return {path: IndexRow(*row) for path, row in data["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def save_index(file: str, rows: Mapping[str, IndexRow]) -> None:
    """Replace the index as a whole. The lock of the tree must be held."""
    with open(f"{file}.new", "w", encoding="utf-8") as stream:
        json.dump({"files": dict(sorted(rows.items()))}, stream, separators=(",", ":"))
    os.replace(f"{file}.new", file)


class TreeLock:
    """The right to write one tree.

    Another process waits for it. Within this process a newer owner takes it over, for waiting would
    block the threads of the engine that the older owner may need; and an older owner that the
    engine dropped never gives it back. An owner that lost it learns so at its next turn.
    """

    def __init__(self, file: str, tree: str) -> None:
        self._file = file
        self._tree = tree
        self._mutex = threading.RLock()
        self._owner: object = None
        self._fd = -1

    @contextmanager
    def held_by(self, owner: object) -> Iterator[None]:
        with self._mutex:
            if self._fd < 0:
                self._fd = self._wait()
            self._owner = owner
        try:
            yield
        finally:
            with self._mutex:
                if self._owner is owner:
                    self._owner = None
                    os.close(self._fd)
                    self._fd = -1

    @contextmanager
    def turn_of(self, owner: object) -> Iterator[None]:
        """Work without an await in it. Raises OcclumError when a newer owner has the lock."""
        with self._mutex:
            if self._owner is not owner:
                raise OcclumError(
                    "dist-busy",
                    f"another target, or another run, writes to {self._tree} at the same time",
                    hint="give each target an output_path of its own",
                )
            yield

    def is_held_by(self, owner: object) -> bool:
        return self._owner is owner

    def _wait(self) -> int:
        os.makedirs(os.path.dirname(self._file), exist_ok=True)
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning(f"Waiting for another run of Pants that writes to {self._tree}.")
            fcntl.flock(fd, fcntl.LOCK_EX)
        return fd


_locks: dict[str, TreeLock] = {}
_locks_mutex = threading.Lock()


def tree_lock(file: str, tree: str) -> TreeLock:
    """The one lock of this process for a lock file; tree: what messages call the tree."""
    with _locks_mutex:
        return _locks.setdefault(file, TreeLock(file, tree))
