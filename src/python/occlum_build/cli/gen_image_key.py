"""`gen-image-key`: a fresh key for encrypted images."""

from __future__ import annotations

import argparse
import os
import secrets
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
    parser.add_argument("path", type=Path, metavar="FILE")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """16 random bytes as hex pairs joined by `-`, and a newline: 48 bytes, mode 0600."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with open(os.open(options.path, flags, 0o600), "w", encoding="ascii") as stream:
            stream.write(secrets.token_bytes(_KEY_BYTES).hex("-") + "\n")
    except OSError as error:
        message = error.strerror or "cannot be written"
        raise OcclumError("key-file", message, place=Place(str(options.path))) from error
