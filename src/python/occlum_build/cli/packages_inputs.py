"""What the verbs of `packages` read: a configuration, its lock file, and downloads."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from occlum_build.cli.output import Progress
from occlum_build.errors import OcclumError, Place

if TYPE_CHECKING:  # a run needs only what its verb does
    from occlum_build.packages.config import PackagesRequest
    from occlum_build.packages.lock import PackagesLock
    from occlum_build.packages.locking import Places

CACHE = "~/.cache/occlum-build/packages"


def add_download_options(parser: argparse.ArgumentParser) -> None:
    """--cache and --parallel."""
    parser.add_argument(
        "--cache",
        metavar="DIR",
        type=Path,
        default=Path(CACHE),
        help=f"for indexes and .deb files, by SHA-256 (default: {CACHE})",
    )
    parser.add_argument(
        "--parallel",
        metavar="N",
        type=_count,
        default=8,
        help="downloads at a time (default: 8)",
    )


def _count(text: str) -> int:
    """From 1 to 64."""
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 64:
        return int(text)
    raise argparse.ArgumentTypeError("must be a number from 1 to 64")


@contextmanager
def inputs(config: Path, options: argparse.Namespace) -> Iterator[tuple[PackagesRequest, Places]]:
    """The request of a configuration, and where its files are; a bar shows what comes meanwhile."""
    from occlum_build.packages.config_file import read_configuration
    from occlum_build.packages.indexing import stanza_of_deb
    from occlum_build.packages.locking import Places

    request, debs = read_configuration(config, stanza_of_deb)
    bar = _Bar()
    try:
        yield (
            request,
            Places(
                _cache(options),
                debs,
                parallel=options.parallel,
                progress=bar,
                config=Place(str(config)),
            ),
        )
    finally:
        bar.close()


def _cache(options: argparse.Namespace) -> Path:
    given = str(options.cache)
    path = os.path.expanduser(given)
    is_own = given.partition("/")[0] == "~"
    if given.startswith("~") and (
        not os.path.isabs(path) or (is_own and os.environ.get("HOME") == "")
    ):
        message = f"there is no home directory for the cache {given}"
        raise OcclumError("usage", message, hint="name another directory by --cache")
    return Path(path)


class _Bar:
    """Downloads on a terminal, of which more may be found while they run; several threads tell."""

    def __init__(self) -> None:
        self._bar = Progress("download", 1)
        self._expected = 0
        self._lock = Lock()
        self._is_closed = False

    def __call__(self, came: int, expected: int) -> None:
        with self._lock:
            if self._is_closed:  # by whoever stopped the downloads
                return
            self._expected += expected
            self._bar.total = max(self._expected, 1)
            self._bar.advance(came)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            self._bar.close()


def locked(file: Path, request: PackagesRequest, config: Path) -> PackagesLock:
    """A lock file, which must be that of the request. Raises OcclumError `packages-lock`."""
    from occlum_build.files.bounds import LOCK_BYTES
    from occlum_build.files.reading import read_file
    from occlum_build.packages.lock import CODE, read_lock
    from occlum_build.packages.lock_changes import check_request, no_lock

    command = f"occlum-build packages lock {shlex.quote(str(config))}"
    command += f" --lock {shlex.quote(str(file))}"
    if not file.exists():
        raise no_lock(str(file), command=command)
    lock = read_lock(read_file(file, LOCK_BYTES, code=CODE), str(file))
    check_request(lock, request, str(file), command=command)
    return lock
