"""What goes from an image's directory before it is written to."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from occlum_build.errors import OcclumError
from occlum_build.files.handles import DirectoryHandles, remove_entry
from occlum_build.files.prefix import PREFIX
from occlum_build.image.entries import DIR, FILE, SYMLINK


def remove_leftovers(
    image: DirectoryHandles, planned: Collection[str], made: Collection[str]
) -> None:
    """Delete the temporary files of a run that was killed.

    They lie beside `planned` entries, and in no directory that was just `made`.
    """
    for directory in sorted({path.rpartition("/")[0] for path in planned}.difference(made)):
        with told_of(image, directory):
            here = image.at(directory)
            with os.scandir(here) as found:
                names = [one.name for one in found if one.name.startswith(PREFIX)]
            for name in names:
                is_dir = stat.S_ISDIR(os.lstat(name, dir_fd=here).st_mode)
                if not is_dir and posixpath.join(directory, name) not in planned:
                    os.unlink(name, dir_fd=here)


def remove_others(image: DirectoryHandles, kinds: Mapping[str, str]) -> int:
    """Delete what has no path of `kinds`, or is of another kind there; how many that were."""
    removed, pending = 0, [""]
    while pending:
        directory = pending.pop()
        here = image.at(directory)
        with os.scandir(here) as listing:
            found = list(listing)
        for one in found:
            path = posixpath.join(directory, one.name)
            is_dir = one.is_dir(follow_symlinks=False)
            kind = DIR if is_dir else SYMLINK if one.is_symlink() else FILE
            if kinds.get(path) != kind:
                with told_of(image, directory if one.name.startswith(PREFIX) else path):
                    remove_entry(here, one.name)
                removed += 1
            elif is_dir:
                pending.append(path)
    return removed


@contextmanager
def told_of(image: DirectoryHandles, path: str) -> Iterator[None]:
    """Let an error tell of a path: of what is done in a directory it has only the name."""
    try:
        yield
    except OSError as error:
        raise cannot_be_written(image.path(path), error) from None


def cannot_be_written(path: str, error: OSError) -> OcclumError:
    """The error of a path in an image."""
    return OcclumError("write", f"{path} cannot be written: {error.strerror}")
