"""Directories of unpacked packages that many roots share by hard links, and what nobody uses."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from occlum_build.files.targets import at
from occlum_build.files.trees import clear
from occlum_build.packages.tree import NO_LINKS

SECONDS_KEPT = 30 * 24 * 60 * 60


class SharedFile(NamedTuple):
    """A file at an absolute path of a root, and the directory where it lies at the same path."""

    path: str
    directory: str


def link_files(root: str, files: Iterable[SharedFile]) -> None:
    """Let the files be below a root as they are in their directories; what is else there goes.

    May be done by several runs at a time. Raises OSError.
    """
    made = set()
    for path, directory in files:
        source, place = f"{directory}{path}", f"{root}{path}"
        parent = os.path.dirname(place)
        if parent not in made:
            os.makedirs(parent, exist_ok=True)
            made.add(parent)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.lstat(source), os.lstat(place)):
                continue
        temporary = f"{place}.{os.urandom(8).hex()}"
        try:
            _link(source, temporary, place)
            os.replace(temporary, place)
        finally:
            with suppress(FileNotFoundError):  # also where both are one file already
                os.unlink(temporary)


def put_file(place: str, content: bytes) -> None:
    """Let a file have this content, whoever else does so meanwhile. Raises OSError at `place`."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    temporary = f"{place}.{os.urandom(8).hex()}"
    try:
        with at(place):
            with open(temporary, "xb") as file:
                file.write(content)
            os.replace(temporary, place)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _link(source: str, temporary: str, place: str) -> None:
    try:
        os.link(source, temporary, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with at(place):
            shutil.copyfile(source, temporary, follow_symlinks=False)


def put_directory(made: str, place: str) -> None:
    """Let a directory that was made beside a place be there, or that of another run.

    A file that is looked up below the place meanwhile may not be there. Raises OSError.
    """
    aside = f"{made}.aside"
    try:
        with suppress(FileNotFoundError):
            os.rename(place, aside)
        try:
            os.rename(made, place)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        clear(aside)
        clear(made)


def use(path: str) -> bool:
    """Whether there is something at a path, which is kept for another while then."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def remove_unused(directory: str, *, now: float | None = None) -> None:
    """Remove what was not used for SECONDS_KEPT, as far as that can be done."""
    before = (time.time() if now is None else now) - SECONDS_KEPT
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    clear(entry.path)
