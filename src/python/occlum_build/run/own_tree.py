"""A tree in a sandbox made what the image is, and one that may be written to.

A build engine keeps of modes whether a file is executable, and large files may be hard links to
its store, which nobody may write to.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

from occlum_build.image.entries import DIR, FILE


def own_tree(root: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Give the entries of a tree their modes, the deepest first, and files that are its own.

    `rows` are those of occlum_build.image.tar.entries_json. Raises OSError.
    """
    beside = os.path.dirname(os.path.abspath(root))
    for row in sorted(rows, key=lambda row: str(row["path"]), reverse=True):
        path = os.path.join(root, row["path"])
        if row["type"] == FILE:
            found = os.lstat(path)
            if found.st_nlink > 1 or not stat.S_ISREG(found.st_mode):
                _copy(path, beside)
            os.chmod(path, row["mode"])
        elif row["type"] == DIR:
            os.makedirs(path, exist_ok=True)
            os.chmod(path, row["mode"])


def _copy(path: str, folder: str) -> None:
    """Replace a file by a copy, which is made in another folder: names beside it may be taken."""
    descriptor, copy = tempfile.mkstemp(dir=folder)
    os.close(descriptor)
    shutil.copyfile(path, copy)
    os.replace(copy, path)
