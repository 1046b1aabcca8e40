"""Whole trees removed by directory handles: no link is followed, and depth costs nothing."""

from __future__ import annotations

import os
import stat
import uuid

OPEN_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove(folder: int, name: bytes, temporary: bytes) -> int:
    """Remove an entry of an open directory with all below it; how many entries that were.

    The directories below are first moved beside the entry, to names that begin with `temporary`:
    that is where an interrupted removal leaves them. Raises OSError.
    """
    pending = [name]
    removed = moved = 0
    while pending:
        name = pending.pop()
        removed += 1
        if not _is_directory(folder, name):
            os.unlink(name, dir_fd=folder)
            continue
        os.chmod(name, 0o700, dir_fd=folder)
        below = os.open(name, OPEN_DIR, dir_fd=folder)
        try:
            for child in map(os.fsencode, os.listdir(below)):
                if _is_directory(below, child):
                    moved += 1
                    beside = b"%s-%d" % (temporary, moved)
                    os.chmod(child, 0o700, dir_fd=below)  # whoever moves it writes its `..`
                    os.rename(child, beside, src_dir_fd=below, dst_dir_fd=folder)
                    pending.append(beside)
                else:
                    os.unlink(child, dir_fd=below)
                    removed += 1
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=folder)
    return removed


def make_way(path: str) -> None:
    """Remove a directory that stands where a file belongs. Raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        clear(path)


def clear(path: str) -> None:
    """Remove whatever stands at a path, if anything does. Raises OSError."""
    if not os.path.lexists(path):
        return
    folder = os.open(os.path.dirname(path), OPEN_DIR)
    try:
        remove(folder, os.fsencode(os.path.basename(path)), f".occlum-{uuid.uuid4().hex}".encode())
    finally:
        os.close(folder)


def _is_directory(folder: int, name: bytes) -> bool:
    return stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)
