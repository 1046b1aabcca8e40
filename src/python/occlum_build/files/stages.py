"""Stages: directories beside the places of what is made in them, gone when their run has ended.

Each has a name of one form, and is locked as long as its run lives: what has such a name and can
be locked was left by a run that was killed, wherever that ran and whatever its process id was.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from occlum_build.files.handles import OPEN_DIR
from occlum_build.files.locks import try_lock
from occlum_build.files.prefix import PREFIX
from occlum_build.files.trees import remove_tree

# The plan of a change that is decided (files.journal); without one a dead stage is only removed.
JOURNAL = "journal"
_NAME = re.compile(rf"{re.escape(PREFIX)}[0-9a-f]{{16}}")
_ATTEMPTS = 100


@dataclass(frozen=True)
class Stage:
    """`descriptor` is the open directory, which has the lock."""

    path: Path
    descriptor: int

    def close(self) -> None:
        """Give up the lock; another run may then remove the stage."""
        with suppress(OSError):
            os.close(self.descriptor)

    def remove(self) -> None:
        """`delete` and `close`."""
        self.delete()
        self.close()

    def delete(self) -> None:
        """Remove the stage and all in it, as far as that is possible; the next run tries again."""
        with suppress(OSError):
            os.unlink(JOURNAL, dir_fd=self.descriptor)  # first: half a stage is no change
        with suppress(OSError):
            remove_tree(self.path)


def temporary_name() -> str:
    """A name for what is there for a moment."""
    return f"{PREFIX}{os.urandom(8).hex()}"


def is_temporary(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def make_stage(directory: Path) -> Stage:
    """A new stage in a directory. Raises OSError."""
    for _ in range(_ATTEMPTS):
        path = directory / temporary_name()
        try:
            path.mkdir(0o700)
        except FileExistsError:
            continue
        try:
            stage = _held(path)
        except BaseException:
            with suppress(OSError):
                path.rmdir()
            raise
        if stage is not None:
            return stage
    raise FileExistsError(errno.EEXIST, "no temporary name is free", str(directory))


def _held(path: Path) -> Stage | None:
    """The stage, locked; None when another run took it for one of the dead in the meantime."""
    try:
        stage = Stage(path, os.open(path, OPEN_DIR))
    except FileNotFoundError:
        return None
    try:
        if try_lock(stage.descriptor) is not False and _is_at_its_path(stage):
            return stage
    except BaseException:
        stage.close()
        raise
    stage.close()
    return None


def has_stages(directory: Path) -> bool:
    """Are there any stages, dead or alive? Raises OSError, but not for what may not be listed."""
    return bool(_candidates(directory))


def dead_stages(directory: Path) -> Iterator[Stage]:
    """The stages that killed runs of us, or of the directory's owner, left; each is locked.

    Raises OSError.
    """
    for path in _candidates(directory):
        try:
            stage = Stage(path, os.open(path, OPEN_DIR))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        try:
            is_dead = is_trusted(stage) and try_lock(stage.descriptor) and _is_at_its_path(stage)
        except BaseException:
            stage.close()
            raise
        if is_dead:
            yield stage
        else:
            stage.close()


def is_trusted(stage: Stage) -> bool:
    """Is it of us, or of who owns the directory and so may do there whatever it asks for?"""
    owner = os.fstat(stage.descriptor).st_uid
    return owner in (os.geteuid(), os.stat(stage.path.parent).st_uid)


def _candidates(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as found:
            names = [
                one.name
                for one in found
                if is_temporary(one.name) and one.is_dir(follow_symlinks=False)
            ]
    except PermissionError:
        return []
    return [directory / name for name in sorted(names)]


def _is_at_its_path(stage: Stage) -> bool:
    try:
        there, held = os.lstat(stage.path), os.fstat(stage.descriptor)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(there.st_mode) and (there.st_dev, there.st_ino) == (
        held.st_dev,
        held.st_ino,
    )
