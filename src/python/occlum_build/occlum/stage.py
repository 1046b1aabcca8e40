"""Where a build is made: a directory beside the old build, which it replaces when it is whole."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from occlum_build.errors import OcclumError, Place

_PREFIX = ".occlum-build-"


@contextmanager
def staged(instance: Path) -> Iterator[Path]:
    """An empty directory in the instance, gone afterwards; the instance is locked meanwhile.

    What a killed build left is removed. Raises OcclumError `instance` when another build runs.
    """
    try:
        descriptor = os.open(instance, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        message = error.strerror or "cannot be opened"
        raise OcclumError("instance", message, place=Place(str(instance))) from error
    try:
        _lock(descriptor, instance)
        for leftover in sorted(instance.glob(f"{_PREFIX}*")):
            shutil.rmtree(leftover, ignore_errors=True)
        stage = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=instance))
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    finally:
        os.close(descriptor)


def replace_directory(fresh: Path, target: Path, stage: Path) -> None:
    """Put `fresh` in the place of `target`, which goes to the stage; undone when it fails."""
    old = stage / f"old-{target.name}"
    had_old = os.path.lexists(target)
    try:
        if had_old:
            target.rename(old)
        fresh.rename(target)
    except BaseException:
        if had_old and not os.path.lexists(target):
            old.rename(target)
        raise


def _lock(descriptor: int, instance: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = "another build of this instance is running"
        raise OcclumError("instance", message, place=Place(str(instance))) from None
