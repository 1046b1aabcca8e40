"""Names of targets for BOM files."""

from __future__ import annotations

import posixpath
import re

_NOT_IN_NAMES = re.compile(r"[^\w.+-]")


def bom_of(path: str) -> tuple[str, str]:
    """The directory and the name of the target for a BOM file."""
    directory, file_name = posixpath.split(path)
    return directory, _NOT_IN_NAMES.sub("_", posixpath.splitext(file_name)[0])
