"""The keys that a build uses do not belong into what it builds."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from occlum_build.errors import OcclumError, Place, Problem
from occlum_build.files.bounds import KEY_BYTES
from occlum_build.files.reading import read_file

KEY_IN_IMAGE = "key-in-image"
_LINE_END = b"\r\n"


def refuse_own_keys(files: Iterable[Path], keys: Mapping[str, Path | None]) -> None:
    """Raise OcclumError `key-in-image` for each file that is a key, or a copy of one.

    `keys` has the key files by what they are. One that is missing is not looked for.
    """
    known = {name: _Key(path) for name, path in keys.items() if path is not None and path.exists()}
    problems = [
        key_in_image(str(file), name)
        for file in files
        for name, key in known.items()
        if key.is_in(file)
    ]
    if problems:
        raise OcclumError.of(problems)


def key_in_image(path: str, name: str) -> Problem:
    """The error of a file at a path that is the key of a name."""
    message = f"this is the {name} of this build: whoever gets the image would have it"
    return Problem(KEY_IN_IMAGE, message, Place(path), "leave it out, and keep it elsewhere")


class _Key:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = path.stat()

    def is_in(self, file: Path) -> bool:
        """Is it the same file, or one with the same text but for its line end?"""
        found = os.lstat(file)
        if os.path.samestat(found, self._found):
            return True
        if not stat.S_ISREG(found.st_mode):
            return False
        if abs(found.st_size - self._found.st_size) > len(_LINE_END):
            return False
        text = read_file(self._path, KEY_BYTES).rstrip(_LINE_END)
        return bool(text) and read_file(file, KEY_BYTES).rstrip(_LINE_END) == text
