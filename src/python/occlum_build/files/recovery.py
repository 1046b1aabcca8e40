"""What killed runs had decided is completed, and all that they left is removed (files.journal).

A copy of a directory in the middle of a change has a copy of its journal, which names what the copy
was made of. That is never touched: a copy is completed by names relative to it, where what stands
there shows how far the change was, and is an error where it does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.handles import OPEN_DIR
from occlum_build.files.journal import Journal, Recorded, is_decided, read_journal
from occlum_build.files.locks import LOCKED, busy, locked
from occlum_build.files.moves import Move, Unclear
from occlum_build.files.stages import Stage, dead_stages, has_stages, is_temporary, is_trusted


def recover(directory: Path) -> None:
    """Complete what killed runs had decided here, and remove all that they left.

    The directory is locked by the caller. Raises OSError; OcclumError `locked` when another
    directory of a change cannot be locked, `copied` for a copy that cannot be completed.
    """
    try:
        for stage in dead_stages(directory):
            try:
                found = read_journal(stage)
                if found is not None:
                    _complete(stage.path, found)
            except BaseException:
                stage.close()
                raise
            stage.remove()
    except OSError as error:  # which may name what nobody knows
        raise OSError(error.errno, error.strerror, str(directory)) from error


def sweep(directory: Path) -> None:
    """As `recover`, unless another run holds the directory, which did that when it began."""
    if not has_stages(directory):
        return
    try:
        with locked(directory, seconds=0):
            recover(directory)
    except OcclumError as error:
        if error.code != LOCKED:
            raise


def _complete(stage: Path, journal: Journal) -> None:
    is_copy = not journal.own.is_at(stage) or any(move.is_elsewhere() for move in journal.moves)
    # By its name, which no other stage has: the directory may have been moved since.
    if journal.first.name != stage.name:
        first = _found(journal.first, stage, is_copy=is_copy)
        if first is not None and is_decided(first):
            _complete_first(first)
        return
    with ExitStack() as stack:
        others: list[Stage] = []
        moves = list(journal.moves)
        for one in journal.stages[1:]:
            path = _found(one, stage, is_copy=is_copy)
            if path is None:
                continue
            stack.enter_context(locked(path.parent))
            other = stack.enter_context(_opened(path))
            found = read_journal(other) if is_trusted(other) else None
            if found is not None and found.first.name == stage.name:
                others.append(other)
                moves += found.moves
        for move in _left(stage, moves) if is_copy else moves:
            move.complete()
        for other in others:
            other.delete()


def _left(stage: Path, moves: list[Move]) -> list[Move]:
    """What is still to be moved in a copy: all of that is known before anything is."""
    try:
        return [left for move in moves if (left := move.in_copy()) is not None]
    except Unclear:
        raise _copied(stage) from None


def _complete_first(first: Path) -> None:
    """Complete the change that a stage is a part of, and nothing without. Leads no further."""
    is_dead = False
    with locked(first.parent):
        for stage in dead_stages(first.parent):
            if stage.path.name != first.name:
                stage.close()
                continue
            is_dead = True
            try:
                found = read_journal(stage)
                if found is not None and found.first.name == first.name:
                    _complete(stage.path, found)
            except BaseException:
                stage.close()
                raise
            stage.remove()
    if not is_dead and is_decided(first):
        raise busy(first.parent, LOCKED)


def _found(one: Recorded, stage: Path, *, is_copy: bool) -> Path | None:
    """Where another stage of a change is; None where it has gone. OcclumError `copied`."""
    near = Path(os.path.realpath(stage.parent), one.relative)
    if not is_copy:
        places = (near, one.path)
        return next((path for path in places if _is_stage(path) and one.is_at(path)), None)
    if _is_stage(near) and not one.is_at(near):
        return near
    if one.is_beside(near) or not _is_directory(near.parent):
        raise _copied(stage)
    return None  # its directory was copied along, when it was not there any more


def _copied(stage: Path) -> OcclumError:
    return OcclumError(
        "copied",
        "this is a copy of a directory in the middle of a change, and how far that was is unknown",
        place=Place(str(stage.parent)),
        hint="copy it again after the next run in the original, which completes the change; or "
        f"remove {stage}, and make anew what was made (an instance: `occlum-build build --force`)",
    )


@contextmanager
def _opened(path: Path) -> Iterator[Stage]:
    stage = Stage(path, os.open(path, OPEN_DIR))
    try:
        yield stage
    finally:
        stage.close()


def _is_stage(path: Path) -> bool:
    return path.is_absolute() and is_temporary(path.name) and _is_directory(path)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # too long for a path, a NUL
        return False
