"""Errors of writing to dist, with the path that was to be written and what to do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from occlum_build.errors import OcclumError, Place

NO_SPACE = "look whether the disk is full, then run Pants again"
_HINTS = {
    errno.ENOSPC: "free some space there; the next run completes what is missing",
    errno.EDQUOT: "free some space there; the next run completes what is missing",
    errno.EROFS: "dist must be writable",
    errno.EACCES: "dist must be writable by you",
    errno.EPERM: "dist must be writable by you",
    errno.ENOTDIR: "a file stands where a directory of dist belongs: remove it",
    errno.EEXIST: "a file stands where a directory of dist belongs: remove it",
}


@contextmanager
def dist_errors(path: str) -> Iterator[None]:
    """Turns an OSError of the body into OcclumError `dist` at `path`, or at the file in its way."""
    try:
        yield
    except OSError as error:
        place = path
        if error.errno in (errno.ENOTDIR, errno.EEXIST):
            place = _file_above(path)
        raise OcclumError(
            "dist",
            f"cannot be written: {error.strerror or error}",
            place=Place(place),
            hint=_HINTS.get(error.errno or 0, ""),
        ) from error


def _file_above(path: str) -> str:
    """The file that stands on the way to a path, the path itself where there is none."""
    above = os.path.dirname(path)
    while not os.path.lexists(above) and above != os.path.dirname(above):
        above = os.path.dirname(above)
    return path if os.path.isdir(above) else above
