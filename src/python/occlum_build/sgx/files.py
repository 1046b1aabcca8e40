"""Replacing whole files, with errors that name them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from occlum_build.errors import OcclumError


def replace_file(path: Path, data: bytes, mode: int) -> None:
    """Write a file with these permission bits: complete or not at all, never in place."""
    temporary = None
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with open(descriptor, "wb") as stream:
            stream.write(data)
            os.fchmod(stream.fileno(), mode)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.lexists(temporary):
            os.unlink(temporary)
        raise OcclumError("io", f"{path} cannot be written: {error.strerror}") from error
