"""Writing whole files, with errors that name them."""

from __future__ import annotations

from pathlib import Path

from occlum_build.errors import OcclumError
from occlum_build.files.change import Change


def write_files(*files: tuple[Path, bytes, int]) -> None:
    """Write files of a path, content and permission bits as one change; OcclumError `io`."""
    try:
        with Change() as change:
            for path, data, mode in files:
                change.write(path, data, mode)
            change.commit()
    except OSError as error:
        raise OcclumError("io", f"{error.filename} cannot be written: {error.strerror}") from error
