"""Puts memos where the next run finds them, and removes old ones."""

from __future__ import annotations

import os
from contextlib import suppress

from occlum_build.cli.memo.find import MEMO_BYTES, NAME, is_ours
from occlum_build.cli.memo.model import Memo, encode

MOST_MEMOS, MOST_BYTES = 64, 256 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def store(memo: Memo, file: str) -> None:
    """Write a memo; where it cannot be kept there is none. May raise OSError and OverflowError."""
    directory = os.path.dirname(file)
    if _is_in_the_way(directory):
        return
    os.makedirs(os.path.dirname(directory), exist_ok=True)
    with suppress(FileExistsError):
        os.mkdir(directory, 0o700)
    data = encode(memo)
    if not is_ours(directory) or len(data) > MEMO_BYTES:
        return
    temporary = f"{file}.{os.getpid()}"
    try:
        descriptor = os.open(temporary, _CREATE, 0o600)
    except FileExistsError:  # of a run that was killed
        os.unlink(temporary)
        return
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
        os.replace(temporary, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _prune(directory, file)


def _is_in_the_way(directory: str) -> bool:
    """Would root make a directory that a user cannot use then, as with sudo and that one's HOME?"""
    if os.geteuid() or os.path.lexists(directory):
        return False
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    return os.stat(directory).st_uid != 0


def _prune(directory: str, newest: str) -> None:
    """Keep the newest memos, so many of them and of their bytes."""
    found = []
    with os.scandir(directory) as listing:
        for one in listing:
            if one.name.startswith(NAME) and one.path != newest:
                with suppress(OSError):
                    status = one.stat(follow_symlinks=False)
                    found.append((status.st_mtime_ns, status.st_size, one.path))
    size = os.lstat(newest).st_size
    for number, (_, bytes_, path) in enumerate(sorted(found, reverse=True), 2):
        size += bytes_
        if number > MOST_MEMOS or size > MOST_BYTES:
            with suppress(OSError):
                os.unlink(path)
