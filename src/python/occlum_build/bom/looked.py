"""How much one plan may look at: links to directories make few files as many as one likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from occlum_build.errors import TooMuch
from occlum_build.shown import quoted

MAX_ENTRIES = 1_000_000  # in all directories that are copied
MAX_PATHS_BYTES = 128 << 20  # of the paths of these entries
# Entries of directories that one copy comes to again, by links; all copies together may come to so
# many more as there are entries that they come to for the first time.
MAX_AGAIN = 100_000
MAX_COMPARED = 10_000_000  # names that are compared with wildcards
MAX_MATCHES = 100_000  # of one wildcard

_EXCLUDE = "leave out what is not needed with `excludes`"


@dataclass
class Looked:
    """What a plan has looked at so far."""

    entries: int = 0
    paths_bytes: int = 0
    compared: int = 0
    again: int = 0  # of the entries

    def listed(self, path: str, names: Sequence[str]) -> None:
        """Count the names in a directory that is copied to `path`, relative to the copy's own."""
        self.entries += len(names)
        self.paths_bytes += len(names) * (len(path) + 1) + sum(map(len, names))
        if self.entries > MAX_ENTRIES:
            raise _too_much(f"copying them makes more than {MAX_ENTRIES:,} entries", path)
        if self.paths_bytes > MAX_PATHS_BYTES:
            raise _too_much(f"the paths have more than {MAX_PATHS_BYTES:,} bytes", path)

    def listed_again(self, path: str, names: int) -> None:
        """Count names in a directory that one copy came to before; part of what was `listed`."""
        self.again += names
        most = MAX_AGAIN + self.entries - self.again
        if self.again > most:
            raise _again(most, "links of all copies together", path)

    def matched(self, names: int, matches: int, pattern: str) -> None:
        """Count names that were compared with a wildcard, and its matches so far."""
        self.compared += names
        if self.compared > MAX_COMPARED:
            text = f"the wildcards are compared with more than {MAX_COMPARED:,} names"
        elif matches > MAX_MATCHES:
            text = f"{quoted(pattern)} matches more than {MAX_MATCHES:,} names"
        else:
            return
        raise TooMuch("directory", text, hint="name the directory that they are in")


@dataclass
class Again:
    """What one copy comes to again; `looked` counts it for all."""

    looked: Looked = field(default_factory=Looked)
    directories: set[str] = field(default_factory=set)
    entries: int = 0

    def listed(self, path: str, real: str, names: Sequence[str]) -> None:
        """Count the names in the directory `real`, copied to `path`, where that is not the first
        time.
        """
        if real in self.directories:
            self.entries += len(names)
            if self.entries > MAX_AGAIN:
                raise _again(MAX_AGAIN, "links", path)
            self.looked.listed_again(path, len(names))
        self.directories.add(real)


def _again(most: int, links: str, path: str) -> TooMuch:
    text = f"{links} lead to the same directories again, to more than {most:,} entries"
    return _too_much(text, path)


def _too_much(text: str, path: str) -> TooMuch:
    return TooMuch("directory", f"{text}; the last is in {quoted(path)}", hint=_EXCLUDE)
