"""Host files: OSError as OcclumError, whole reads and writes, changes that are made at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.change import Change
from occlum_build.files.recovery import sweep

READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC
# O_NONBLOCK: a fifo that took the place of a regular file must not hang us.
SOURCE_FLAGS = READ_FLAGS | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
WRITE_FLAGS = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE_FLAGS, CREATE_AND_READ_FLAGS = _NEW | os.O_WRONLY, _NEW | os.O_RDWR


def place_of(path: str | bytes | Path) -> Place:
    """The place of a problem in a host file: its absolute path."""
    name = os.fsdecode(path)
    with suppress(OSError):  # the working directory has gone
        name = os.path.abspath(name)
    return Place(name)


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


@contextmanager
def changing(target: Path, *more: Path) -> Iterator[Change]:
    """A change for the body to fill, which is made when it ends without an error.

    What killed runs left beside any of the targets goes away even if the change then fails. Raises
    OcclumError `sefs-exists` for a place that must be free and is not, `sefs-io`.
    """
    place = place_of(target)
    try:
        with Change() as change:
            for one in (target, *more):
                with os_errors(one):
                    sweep(Path(os.path.realpath(one.parent)))
            yield change
            change.commit()
    except FileExistsError as error:
        where = place_of(error.filename or target)
        raise OcclumError(
            "sefs-exists", "exists already", place=where, hint="remove it first"
        ) from error
    except OSError as error:
        raise OcclumError("sefs-io", error.strerror or str(error), place=place) from error
