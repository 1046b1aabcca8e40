"""`gen-image-key`: a fresh key for encrypted images."""

from __future__ import annotations

import argparse
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError, Place

_KEY_BYTES = 16


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
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    flags |= os.O_TRUNC if options.force else os.O_EXCL
    try:
        with open(os.open(options.path, flags, 0o600), "w", encoding="ascii") as stream:
            if options.force and stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                os.fchmod(stream.fileno(), 0o600)
            stream.write(secrets.token_bytes(_KEY_BYTES).hex("-") + "\n")
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
