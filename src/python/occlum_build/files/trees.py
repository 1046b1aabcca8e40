"""Trees of directories, however deep: without recursion, and removed by handles."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from occlum_build.files.handles import OPEN_DIR, open_to_owner, remove_entry

# What the kernel takes, PATH_MAX without its end.
PATH_BYTES = 4095
TOO_LONG = f"holds a path of more than {PATH_BYTES} bytes"


def walk(root: str | Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """All entries below a directory, each with its path relative to it; links are not followed.

    A directory comes before what is in it; siblings in no order. Raises OSError, also where a path
    has more than PATH_BYTES.
    """
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(root, folder) if folder else root) as found:
            entries = list(found)
        for entry in entries:
            if is_too_long(entry.path):
                raise OSError(errno.ENAMETOOLONG, TOO_LONG, str(root))
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, entry
            if entry.is_dir(follow_symlinks=False):
                pending.append(path)


def is_too_long(path: str | bytes) -> bool:
    """Can no program open this path, as it is longer than PATH_BYTES?"""
    return 4 * len(path) > PATH_BYTES and len(os.fsencode(path)) > PATH_BYTES


def remove_tree(path: str | Path) -> None:
    """Delete a directory and all in it, whatever the depth and the modes; links are not followed.

    Raises OSError, also for what is no directory.
    """
    folder, name = os.path.split(os.fspath(path))
    parent = os.open(folder or ".", OPEN_DIR & ~os.O_NOFOLLOW)
    try:
        os.close(open_to_owner(parent, name))
        remove_entry(parent, name)
    finally:
        os.close(parent)


def clear(path: str) -> None:
    """Remove whatever stands at a path, if anything does. Raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def make_way(path: str) -> None:
    """Remove a directory that stands where a file belongs. Raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
