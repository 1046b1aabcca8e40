"""Programs that came with many others, and so show little of what is used."""

from __future__ import annotations

from collections import Counter

from occlum_build.checks.root import Root
from occlum_build.errors import Place

MANY = 200  # files of one directory


class CopiedWhole:
    """The directories that an item of a BOM copied with many files, as `/usr/bin/`."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._directories = _many(root)

    def has(self, path: str) -> bool:
        """Whether a file lies in one of them, or is a library that one of the same item needs."""
        entry = self._root.at(path)
        if entry is None:
            return False
        directories = self._directories.get(entry.origin.place, set())
        return bool(directories) and (entry.is_library or path.rpartition("/")[0] in directories)


def _many(root: Root) -> dict[Place, set[str]]:
    """Items of a BOM that copied many files to a directory -> these directories."""
    counts = Counter([path.rpartition("/")[0] for path in root.files])
    many = {directory for directory, count in counts.items() if count >= MANY}
    items: Counter[tuple[Place, str]] = Counter()
    for path in root.files:
        directory = path.rpartition("/")[0]
        entry = root.at(path) if directory in many else None
        if entry is not None and not entry.is_library:
            items[entry.origin.place, directory] += 1
    whole: dict[Place, set[str]] = {}
    for (place, directory), count in items.items():
        if count >= MANY:
            whole.setdefault(place, set()).add(directory)
    return whole
