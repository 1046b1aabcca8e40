"""`gen-image-key`: a fresh key for encrypted images."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError, Place
from occlum_build.files.change import Change
from occlum_build.files.secret import no_core_dumps

_KEY_BYTES = 16
_MAX_LINKS = 40  # as the kernel


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "gen-image-key",
        help="make a random image key",
        description="Write a random image key to a new file that its owner alone can read. A file "
        "that exists is not overwritten: the images of its key could not be opened any more.",
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="replace a file that exists by a new key"
    )
    parser.add_argument("path", type=Path, metavar="FILE")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """16 random bytes as hex pairs joined by `-`, and a newline: 48 bytes, mode 0600."""
    no_core_dumps()
    text = (os.urandom(_KEY_BYTES).hex("-") + "\n").encode("ascii")
    try:
        if options.force and options.path.exists() and not options.path.is_file():
            _write_to(options.path, text)
            return
        path = _followed(options.path) if options.force else options.path
        with Change() as change:
            change.write(path, text, 0o600, must_be_new=not options.force)
            change.commit()
    except FileExistsError:
        raise OcclumError(
            "key-file",
            "exists already; a new key could not open the images of the one that is there",
            place=Place(str(options.path)),
            hint="name another file, or replace it with --force",
        ) from None
    except OSError as error:
        message = error.strerror or "cannot be written"
        raise OcclumError("key-file", message, place=Place(str(options.path))) from error


def _write_to(path: Path, text: bytes) -> None:
    """Write to a fifo or device, as /dev/stdout; an error where nobody reads a fifo."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    with open(os.open(path, flags), "wb") as stream:
        stream.write(text)


def _followed(path: Path) -> Path:
    """Where a write through links ends, as of other tools that replace what a file holds."""
    for _ in range(_MAX_LINKS):
        if not path.is_symlink():
            return path
        path = path.parent / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
