"""Host files: OSError as OcclumError, whole writes, results that appear complete or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occlum_build.errors import OcclumError, Place

READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC
# O_NONBLOCK: a fifo that took the place of a regular file must not hang us.
SOURCE_FLAGS = READ_FLAGS | os.O_NOFOLLOW | os.O_NONBLOCK
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def printable(name: bytes) -> str:
    """A name of a file on one line of text; what is not UTF-8 or not printable is escaped."""
    text = name.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def place_of(path: str | bytes | Path) -> Place:
    """The place of a problem in a host file: its absolute path."""
    return Place(printable(os.path.abspath(os.fsencode(path))))


@contextmanager
def os_errors(path: str | bytes | Path) -> Iterator[None]:
    """Turns an OSError of the body into OcclumError `sefs-io` that names `path`."""
    try:
        yield
    except OSError as error:
        message = error.strerror or str(error)
        raise OcclumError("sefs-io", message, place=place_of(path)) from error


@contextmanager
def opened(path: str | bytes | Path, flags: int, mode: int = 0o666) -> Iterator[int]:
    """A file descriptor for the body; OSErrors in it become OcclumErrors that name `path`."""
    with os_errors(path):
        descriptor = os.open(path, flags, mode)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset`."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def read_at(descriptor: int, view: memoryview, offset: int) -> bool:
    """Fill `view` from `offset`; False when the file ends before that."""
    while view:
        count = os.preadv(descriptor, [view], offset)
        if not count:
            return False
        view, offset = view[count:], offset + count
    return True


def _temporary_sibling(target: Path) -> Path:
    return target.parent / f".{secrets.token_hex(8)}.tmp"


def _remove_tree(root: Path) -> None:
    """As shutil.rmtree, but deep trees of hostile images do not exhaust the stack."""
    directories = [str(root)]
    for directory in directories:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    directories.append(entry.path)
                else:
                    os.unlink(entry.path)
    for directory in reversed(directories):
        os.rmdir(directory)


@contextmanager
def new_directory(target: Path) -> Iterator[Path]:
    """A directory to fill that is renamed to `target` when the body ends without an error.

    Raises OcclumError `sefs-exists` when there is something at `target` already.
    """
    if os.path.lexists(target):
        raise OcclumError(
            "sefs-exists", "exists already", place=place_of(target), hint="remove it first"
        )
    temporary = _temporary_sibling(target)
    with os_errors(target):
        temporary.mkdir()
        try:
            yield temporary
            temporary.rename(target)
        except BaseException:
            with suppress(OSError):
                _remove_tree(temporary)
            raise


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A path to create a file at that replaces `target` when the body ends without an error."""
    temporary = _temporary_sibling(target)
    with os_errors(target):
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
