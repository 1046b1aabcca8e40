"""Several things take their places as one change, which a killed run's successor completes.

A journal in each stage lists what goes from there into the directory of the stage, under names
of that directory alone. The change is decided when the journal of its first stage is in place.
From then on everything is exchanged, what was there before comes into the stage, and at last the
journal is deleted. A stage with a journal that nobody holds is a change that was cut off.
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
from occlum_build.files.exchange import exchange
from occlum_build.files.handles import OPEN_DIR
from occlum_build.files.json_text import load_json
from occlum_build.files.locks import busy, locked
from occlum_build.files.reading import READ_FLAGS, read_descriptor
from occlum_build.files.shape import AnyOf, ListOf, check_shape
from occlum_build.files.stages import (
    JOURNAL,
    Stage,
    dead_stages,
    has_stages,
    is_temporary,
    is_trusted,
)

_DRAFT = "journal.new"
_OLD = ".old"
_JOURNAL_BYTES = 1 * MIB
_NAME_BYTES = 255  # of a name in a directory
_SHAPE = {
    "first": str,
    "others": ListOf(str),
    "moves": ListOf({"part": str, "name": str, "new": int, "old": AnyOf((int, None))}),
}


@dataclass(frozen=True)
class Move:
    """What goes from a stage to a place beside it, told by inode numbers; `old`: what was there."""

    stage: Path
    part: str
    name: str
    new: int
    old: int | None

    @property
    def target(self) -> Path:
        return self.stage.parent / self.name

    def forth(self) -> None:
        """Put it there, and what was there into the stage. Raises OSError."""
        part, target = str(self.stage / self.part), str(self.target)
        if self.old is None:
            os.rename(part, target)
        elif not exchange(part, target):
            os.rename(target, part + _OLD)
            try:
                os.rename(part, target)
            except BaseException:
                os.rename(part + _OLD, target)
                raise

    def back(self) -> None:
        """Undo `forth`. Raises OSError."""
        part, target = str(self.stage / self.part), str(self.target)
        if self.old is None:
            os.rename(target, part)
        elif os.path.lexists(part + _OLD):
            os.rename(target, part)
            os.rename(part + _OLD, target)
        else:
            exchange(part, target)

    def complete(self) -> None:
        """Put it there unless that was done, or somebody has put another thing there since."""
        if inode(self.stage / self.part) == self.new:
            there = inode(self.target)
            if there is None:
                os.rename(self.stage / self.part, self.target)
            elif there == self.old:
                self.forth()


def inode(path: Path) -> int | None:
    """Of what is at a path, links not followed; None where nothing is. Raises OSError."""
    try:
        return os.lstat(path).st_ino
    except (FileNotFoundError, NotADirectoryError):
        return None


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


def recover(directory: Path) -> None:
    """Complete what killed runs had decided here, and remove all that they left.

    The directory is locked by the caller. Raises OSError; `locked` when another directory of a
    change cannot be locked.
    """
    for stage in dead_stages(directory):
        try:
            found = _read(stage)
            if found is not None:
                _complete(stage.path, found)
        except BaseException:
            stage.close()
            raise
        stage.remove()


def sweep(directory: Path) -> None:
    """As `recover`, unless another run holds the directory, which did that when it began."""
    if not has_stages(directory):
        return
    with suppress(OcclumError), locked(directory, seconds=0):
        recover(directory)


def _complete(stage: Path, journal: dict[str, Any]) -> None:
    first = Path(_from_text(journal["first"]))
    # By its name, which no other stage has: the directory may have been moved since.
    if first.name != stage.name:
        _complete_first(first)
        return
    for move in _moves(stage, journal):
        move.complete()
    for other in (Path(_from_text(one)) for one in journal["others"]):
        if _is_stage(other):
            with locked(other.parent):
                _complete_other(other, stage)


def _complete_first(first: Path) -> None:
    """Complete the change that a stage is a part of, and nothing without. Leads no further."""
    if not (_is_stage(first) and is_decided(first)):
        return
    is_dead = False
    with locked(first.parent):
        for stage in dead_stages(first.parent):
            if stage.path.name != first.name:
                stage.close()
                continue
            is_dead = True
            try:
                found = _read(stage)
                if found is not None and _name_of_first(found) == first.name:
                    _complete(stage.path, found)
            except BaseException:
                stage.close()
                raise
            stage.remove()
    if not is_dead and is_decided(first):
        raise busy(first.parent, "locked")


def _name_of_first(journal: dict[str, Any]) -> str:
    return Path(_from_text(journal["first"])).name


def _complete_other(path: Path, first: Path) -> None:
    stage = Stage(path, os.open(path, OPEN_DIR))
    try:
        journal = _read(stage) if is_trusted(stage) else None
        if journal is None or _name_of_first(journal) != first.name:
            stage.close()
            return
        for move in _moves(path, journal):
            move.complete()
    except BaseException:
        stage.close()
        raise
    stage.remove()


def _is_stage(path: Path) -> bool:
    if not path.is_absolute() or not is_temporary(path.name):
        return False
    try:
        return path.is_dir()
    except OSError:  # too long for a path
        return False


def _to_text(name: str) -> str:
    """Any name as text that JSON takes."""
    return os.fsencode(name).decode("latin-1")


def _from_text(text: str) -> str:
    return os.fsdecode(text.encode("latin-1", "replace"))


def _moves(stage: Path, journal: dict[str, Any]) -> list[Move]:
    """Of names in the directory of the stage only, whoever wrote the journal."""
    moves = [
        Move(stage, row["part"], _from_text(row["name"]), row["new"], row["old"])
        for row in journal["moves"]
    ]
    return [move for move in moves if _is_name(move.part) and _is_name(move.name)]


def _is_name(text: str) -> bool:
    if text in ("", ".", "..", JOURNAL) or "/" in text or "\0" in text:
        return False
    return len(os.fsencode(text)) <= _NAME_BYTES


def _write(stage: Path, stages: Sequence[Path], moves: Sequence[Move]) -> None:
    rows = [
        {"part": move.part, "name": _to_text(move.name), "new": move.new, "old": move.old}
        for move in moves
    ]
    first, *others = (_to_text(str(one)) for one in stages)
    journal = {"first": first, "others": others, "moves": rows}
    with open(stage / _DRAFT, "xb") as file:
        file.write(json.dumps(journal).encode("ascii"))
    os.rename(stage / _DRAFT, stage / JOURNAL)


def _read(stage: Stage) -> dict[str, Any] | None:
    """The journal; None where there is none, or what cannot be one of ours."""
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
    found: dict[str, Any] = value
    return found
