"""Several things take their places as one change, which a killed run's successor completes.

A journal in each stage lists what goes from there into the directory of the stage, under names
of that directory alone, and all stages of the change. The change is decided when the journal of
its first stage is in place. From then on everything is exchanged, what was there before comes into
the stage, and at last the journal is deleted. A stage with a journal that nobody holds is a change
that was cut off (files.recovery).
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MIB
from occlum_build.files.json_text import load_json
from occlum_build.files.moves import Look, Move
from occlum_build.files.reading import READ_FLAGS, read_descriptor
from occlum_build.files.shape import AnyOf, ListOf, check_shape
from occlum_build.files.stages import JOURNAL, Stage, is_temporary

_DRAFT = "journal.new"
_JOURNAL_BYTES = 1 * MIB
NAME_BYTES = 255  # of a name in a directory
_LOOK = {"inode": int, "kind": int, "size": int, "mtime_ns": int}
_SHAPE = {
    "stages": ListOf({"path": str, "relative": str, "device": int, "inode": int, "parent": int}),
    "moves": ListOf({"part": str, "name": str, "new": _LOOK, "old": AnyOf((_LOOK, None))}),
}


@dataclass(frozen=True)
class Recorded:
    """A stage as it was when the change was decided.

    `relative` is its path from the directory of the stage whose journal this is; `parent` the inode
    of its own directory.
    """

    path: Path
    relative: str
    device: int
    inode: int
    parent: int

    @property
    def name(self) -> str:
        return self.path.name

    def is_at(self, path: Path) -> bool:
        """Is it this very stage, and no copy of it? False where there is none. Raises OSError."""
        return _inode(path) == (self.device, self.inode) and self.is_beside(path)

    def is_beside(self, path: Path) -> bool:
        """Is the directory above a path the one that it was made in? Raises OSError."""
        return _inode(path.parent) == (self.device, self.parent)


@dataclass(frozen=True)
class Journal:
    """`own` is the record of the stage with this journal, the first of `stages` decides."""

    own: Recorded
    stages: tuple[Recorded, ...]
    moves: tuple[Move, ...]

    @property
    def first(self) -> Recorded:
        return self.stages[0]


def carry_out(moves: Sequence[Move]) -> None:
    """Make all moves as one change, in directories that are locked; the first stage's is the word.

    Raises OSError; then all is as before, or where that fails too, the journal is still there.
    """
    stages = list(dict.fromkeys(move.stage for move in moves))
    for stage in reversed(stages):  # the first one decides
        _write(stage, stages, [move for move in moves if move.stage == stage])
    done: list[Move] = []
    try:
        for move in moves:
            move.forth()
            done.append(move)
    except BaseException:
        for move in reversed(done):
            move.back()
        os.unlink(stages[0] / JOURNAL)
        raise
    with suppress(OSError):  # all is there; the next run finds nothing left to move
        os.unlink(stages[0] / JOURNAL)


def is_decided(stage: Path) -> bool:
    """Is there a change that must be completed?"""
    return os.path.lexists(stage / JOURNAL)


def read_journal(stage: Stage) -> Journal | None:
    """The journal; None where there is none, or what cannot be one of ours. Raises OSError."""
    try:
        descriptor = os.open(JOURNAL, READ_FLAGS | os.O_NOFOLLOW, dir_fd=stage.descriptor)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES):
            return None
        raise
    try:
        value = load_json(read_descriptor(descriptor, JOURNAL, _JOURNAL_BYTES), JOURNAL)
        check_shape(value, _SHAPE, JOURNAL, code="journal")
    except OcclumError:
        return None
    finally:
        os.close(descriptor)
    stages = tuple(map(_recorded, value["stages"]))
    own = next((one for one in stages if one.name == stage.path.name), None)
    if own is None or not all(is_temporary(one.name) for one in stages):
        return None
    return Journal(own, stages, tuple(_moves(stage.path, value["moves"])))


def _recorded(row: dict[str, Any]) -> Recorded:
    path, relative = Path(_from_text(row["path"])), _from_text(row["relative"])
    return Recorded(path, relative, row["device"], row["inode"], row["parent"])


def _moves(stage: Path, rows: list[dict[str, Any]]) -> list[Move]:
    """Of names in the directory of the stage only, whoever wrote the journal."""
    moves = [
        Move(
            stage,
            row["part"],
            _from_text(row["name"]),
            _seen(row["new"]),
            row["old"] and _seen(row["old"]),
        )
        for row in rows
    ]
    return [move for move in moves if _is_name(move.part) and _is_name(move.name)]


def _seen(row: dict[str, int]) -> Look:
    return Look(*(row[name] for name in Look._fields))


def _is_name(text: str) -> bool:
    if text in ("", ".", "..", JOURNAL) or "/" in text or "\0" in text:
        return False
    return len(os.fsencode(text)) <= NAME_BYTES


def _write(stage: Path, stages: Sequence[Path], moves: Sequence[Move]) -> None:
    journal = {
        "stages": [_record(one, stage) for one in stages],
        "moves": [
            {
                "part": move.part,
                "name": _to_text(move.name),
                "new": move.new._asdict(),
                "old": move.old and move.old._asdict(),
            }
            for move in moves
        ],
    }
    with open(stage / _DRAFT, "xb") as file:
        file.write(json.dumps(journal).encode("ascii"))
    os.rename(stage / _DRAFT, stage / JOURNAL)


def _record(stage: Path, beside: Path) -> dict[str, Any]:
    found = os.lstat(stage)
    return {
        "path": _to_text(str(stage)),
        "relative": _to_text(os.path.relpath(stage, beside.parent)),
        "device": found.st_dev,
        "inode": found.st_ino,
        "parent": os.lstat(stage.parent).st_ino,
    }


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES):
            return None
        raise
    except ValueError:  # a NUL in it
        return None
    return found.st_dev, found.st_ino


def _to_text(name: str) -> str:
    """Any name as text that JSON takes."""
    return os.fsencode(name).decode("latin-1")


def _from_text(text: str) -> str:
    return os.fsdecode(text.encode("latin-1", "replace"))
