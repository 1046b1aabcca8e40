"""What a former sync left of a tree in dist: an index of its files, and the lock over it."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.reading import read_file
from occlum_build.files.trees import clear, make_way
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.errors import dist_errors
from pants_occlum.logs import logger_of

logger = logger_of(__name__)


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


def is_current(entry: TreeEntry, row: IndexRow, found: os.stat_result | None) -> bool:
    """Is what stands there the file that is wanted, as it was written?"""
    return (
        found is not None
        and row == row_of(found, entry.sha256)
        and found.st_mode == stat.S_IFREG | entry.mode
    )


class DistIndex:
    """The rows of a tree's files, by directory and name.

    They stay the text that was read until they are asked for, as most directories do not change.
    `memory` is not written: the one who syncs the tree keeps there what it knows in this process.
    """

    def __init__(self, lines: dict[str, str] | None = None) -> None:
        self._lines = lines or {}
        self.memory: object = None
        self.is_changed = False

    def rows(self, directory: str) -> dict[str, IndexRow]:
        """Those of one directory; none where the text is damaged, so that all is written again."""
        try:
            rows = json.loads(self._lines.get(directory, "{}"))
            return {name: IndexRow(*row) for name, row in rows.items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            return {}

    def replace(self, directory: str, rows: Mapping[str, IndexRow]) -> None:
        line = json.dumps(dict(sorted(rows.items())), separators=(",", ":"))
        if self._lines.get(directory, "{}") != line:
            self._lines[directory] = line
            self.is_changed = True

    def forget_all_but(self, directories: Collection[str]) -> None:
        for directory in [path for path in self._lines if path not in directories]:
            del self._lines[directory]
            self.is_changed = True

    def text(self) -> str:
        lines = sorted(self._lines.items())
        return "".join(f"{json.dumps(path)}\t{line}\n" for path, line in lines if line != "{}")


_loaded: dict[str, tuple[object, DistIndex]] = {}


def load_index(file: str) -> DistIndex:
    """The index in a file, or the one that this process saved there; empty when there is none."""
    version, index = _loaded.get(file, (None, None))
    found = _version(file)
    if index is not None and found == version:
        return index
    index = DistIndex(_read_lines(file))
    _loaded[file] = (found, index)
    return index


def index_in_memory(file: str) -> DistIndex | None:
    """The index that this process has of a file, which may be another one by now."""
    return _loaded.get(file, (None, None))[1]


def _read_lines(file: str) -> dict[str, str]:
    """The rows of a file by directory; none where it cannot be read or a line of it is damaged."""
    lines = {}
    try:
        # By lines of the file, as other ends of lines may stand in what is quoted.
        for line in read_file(file, MANIFEST_BYTES).decode("utf-8").split("\n"):
            path, _, rows = line.partition("\t")
            if line:
                lines[str(json.loads(path))] = rows
    except (OcclumError, ValueError, RecursionError):
        return {}
    return lines


def save_index(file: str, index: DistIndex) -> None:
    """Replace the index as a whole; failing to is no error, only slower.

    The lock of the tree must be held.
    """
    try:
        make_way(file)
        clear(f"{file}.new")
        with open(f"{file}.new", "x", encoding="utf-8") as stream:
            stream.write(index.text())
        os.replace(f"{file}.new", file)
    except OSError:
        with suppress(OSError):
            os.unlink(f"{file}.new")
        return
    index.is_changed = False
    _loaded[file] = (_version(file), index)


def _version(file: str) -> object:
    """Equal as long as nobody has replaced the file."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


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
        with dist_errors(self._file):
            os.makedirs(os.path.dirname(self._file), exist_ok=True)
            make_way(self._file)
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
