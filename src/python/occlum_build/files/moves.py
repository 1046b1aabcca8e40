"""What goes from a stage to a place beside it, and how far that was when a run was killed."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from occlum_build.files.exchange import exchange

OLD = ".old"


class Look(NamedTuple):
    """What stands at a place: its inode tells it where it was made, the rest also in a copy."""

    inode: int
    kind: int  # as in st_mode
    size: int  # of a directory 0: other file systems have another one
    mtime_ns: int

    def is_like(self, other: Look | None) -> bool:
        """May one be a copy of the other?"""
        return other is not None and self[1:] == other[1:]


class Unclear(Exception):
    """A copy does not show whether a move was made in what it is a copy of."""


@dataclass(frozen=True)
class Move:
    """`new`: what goes from a stage to a place beside it; `old`: what was there."""

    stage: Path
    part: str
    name: str
    new: Look
    old: Look | None

    @property
    def target(self) -> Path:
        return self.stage.parent / self.name

    def forth(self) -> None:
        """Put it there, and what was there into the stage. Raises OSError at the target."""
        try:
            self._forth(str(self.stage / self.part), str(self.target))
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.target)) from error

    def _forth(self, part: str, target: str) -> None:
        if self.old is None:
            os.rename(part, target)
        elif not exchange(part, target):
            os.rename(target, part + OLD)
            try:
                os.rename(part, target)
            except BaseException:
                os.rename(part + OLD, target)
                raise

    def back(self) -> None:
        """Undo `forth`. Raises OSError."""
        part, target = str(self.stage / self.part), str(self.target)
        if self.old is None:
            os.rename(target, part)
        elif os.path.lexists(part + OLD):
            os.rename(target, part)
            os.rename(part + OLD, target)
        else:
            exchange(part, target)

    def complete(self) -> None:
        """Put it there unless that was done, or somebody has put another thing there since."""
        part = look(self.stage / self.part)
        if part is not None and part.inode == self.new.inode:
            there = look(self.target)
            if there is None:
                os.rename(self.stage / self.part, self.target)
            elif self.old is not None and there.inode == self.old.inode:
                self.forth()

    def is_elsewhere(self) -> bool:
        """Is in the stage what neither went into it nor came: a copy of that?"""
        part = look(self.stage / self.part)
        known = {one.inode for one in (self.new, self.old) if one is not None}
        return part is not None and part.inode not in known

    def in_copy(self) -> Move | None:
        """The move that is still to be made in a copy of both places. Raises Unclear, OSError."""
        part, there = look(self.stage / self.part), look(self.target)
        is_new, was_new = self.new.is_like(part), self.new.is_like(there)
        if was_new and not is_new:
            return None
        if part is None or not is_new or was_new:
            raise Unclear
        if there is not None and not there.is_like(self.old):
            raise Unclear
        return Move(self.stage, self.part, self.name, part, there)


def look(path: Path) -> Look | None:
    """Of what is at a path, links not followed; None where nothing is. Raises OSError."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    kind = stat.S_IFMT(found.st_mode)
    size = 0 if kind == stat.S_IFDIR else found.st_size
    return Look(found.st_ino, kind, size, found.st_mtime_ns)
