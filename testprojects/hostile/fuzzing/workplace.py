"""Parts of an input, and files for the readers that want paths."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Between the parts of an input for a reader that takes several files.
SEPARATOR = b"\n====\n"


def parts_of(data: bytes, count: int) -> list[bytes]:
    """Just this many parts; those that an input does not have are empty."""
    found = data.split(SEPARATOR, count - 1)
    return found + [b""] * (count - len(found))


def text_of(data: bytes) -> str:
    """As file names and command lines are read."""
    return data.decode("utf-8", "surrogateescape")


@functools.cache
def _workplace() -> Path:
    """A directory of this process, in memory where the machine has such a place."""
    memory = "/dev/shm"
    place = memory if os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix=f"readers-{os.getpid()}-", dir=place))


@contextmanager
def fresh_directory() -> Iterator[Path]:
    """An empty directory, removed at the end."""
    directory = _workplace() / "fresh"
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)
        if not any(_workplace().iterdir()):
            _workplace().rmdir()


@contextmanager
def file_of(data: bytes, name: str = "file", mode: int = 0o600) -> Iterator[Path]:
    """A file of that content, in a directory of its own."""
    with fresh_directory() as directory:
        path = directory / name
        path.write_bytes(data)
        path.chmod(mode)
        yield path
