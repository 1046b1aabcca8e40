"""Names and addresses of targets."""

from __future__ import annotations

import posixpath
import re

_NOT_IN_NAMES = re.compile(r"[^\w.+-]")


class Names:
    """The names of the targets of a BUILD file."""

    def __init__(self) -> None:
        self._taken: dict[str, int] = {}  # and the next number behind each

    def take(self, *wanted: str) -> str:
        """The first one that is free; the last one with a number if none is."""
        name = next((name for name in wanted if name not in self._taken), "")
        while not name:
            number = self._taken.get(wanted[-1], 2)
            self._taken[wanted[-1]] = number + 1
            numbered = f"{wanted[-1]}_{number}"
            name = numbered if numbered not in self._taken else ""
        self._taken[name] = 2
        return name


def target_name(path: str) -> str:
    """The name of a target by its file, as tailor has it."""
    return _NOT_IN_NAMES.sub("_", posixpath.splitext(posixpath.basename(path))[0])


def address(directory: str, name: str) -> str:
    """The address of a target by its directory; that of the root has two slashes."""
    return f"{directory or '//'}:{name}"
