"""The files of an image by name, so that many patterns can be looked up in many files."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, cached_property

from occlum_build.checks.root import Root
from occlum_build.errors import Place
from occlum_build.image.entries import DIR, FILE

MANY = 200  # files of one directory
SHOWN = 3  # names of files in one message
_WILD = re.compile(r"\*\*/|[*?]|\[[^]]*\]")


class Files:
    """The regular files of a root file system, and the links that lead to one."""

    def __init__(self, root: Root) -> None:
        self.root = root

    @cached_property
    def by_name(self) -> dict[str, list[str]]:
        """Base name -> sorted paths of all that is no directory; a link may dangle."""
        by_name: dict[str, list[str]] = {}
        at = self.root.at
        for path in self.root.paths:
            entry = at(path)
            if entry is not None and entry.kind != DIR:
                by_name.setdefault(path[path.rindex("/") + 1 :], []).append(path)
        return by_name

    @cached_property
    def copied_whole(self) -> dict[Place, set[str]]:
        """Items of a BOM that copied many files to a directory -> these directories."""
        counts = Counter(path[: path.rindex("/")] for path in self.root.files)
        many = {directory for directory, count in counts.items() if count >= MANY}
        items: Counter[tuple[Place, str]] = Counter()
        for path in self.root.files:
            directory = path[: path.rindex("/")]
            entry = self.root.at(path) if directory in many else None
            if entry is not None and not entry.is_library:
                items[entry.origin.place, directory] += 1
        whole: dict[Place, set[str]] = {}
        for (place, directory), count in items.items():
            if count >= MANY:
                whole.setdefault(place, set()).add(directory)
        return whole

    def matching(self, pattern: str) -> Iterator[str]:
        """The sorted paths of the files that a pattern matches (`families.model.Need`)."""
        if not _WILD.search(pattern):
            yield from (pattern,) if self.is_file(pattern) else ()
            return
        matches, is_file = _regex(pattern).fullmatch, self.is_file
        paths = (path for name in self._names(posixpath.basename(pattern)) for path in name)
        yield from sorted(path for path in paths if matches(path) and is_file(path))

    def _names(self, pattern: str) -> Iterator[list[str]]:
        """The paths of each base name that a pattern without directories matches."""
        wild = _WILD.search(pattern)
        if wild is None:
            yield self.by_name.get(pattern, [])
            return
        # A plain beginning and end rule out nearly all of what may be 50,000 names.
        start, end = pattern[: wild.start()], _WILD.split(pattern)[-1]
        matches = _regex(pattern).fullmatch
        for name in [one for one in self.by_name if one.endswith(end) and one.startswith(start)]:
            if matches(name):
                yield self.by_name[name]

    def is_file(self, path: str) -> bool:
        """Whether a path leads to a file."""
        return self.root.kind(path) == FILE

    def has(self, pattern: str) -> bool:
        """Whether there is a file that a pattern matches."""
        return next(self.matching(pattern), None) is not None

    def has_named(self, name: str) -> bool:
        """Whether there is a file with a base name, anywhere."""
        return any(map(self.is_file, self.by_name.get(name, ())))


def literal(text: str) -> str:
    """A pattern that matches a text and nothing else."""
    return re.sub(r"([*?[])", r"[\1]", text)


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - SHOWN
    if more > 1:
        return f"{', '.join(names[:SHOWN])} and {more} more"
    return listed(names)


def listed(names: Sequence[str]) -> str:
    """One or more names, as a sentence has them."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    parts, end = [], 0
    for wild in _WILD.finditer(pattern):
        parts.append(re.escape(pattern[end : wild.start()]))
        special = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
        one = re.escape(wild[0][1]) if len(wild[0]) == 3 and wild[0][0] == "[" else wild[0]
        parts.append(special.get(wild[0], one))
        end = wild.end()
    return re.compile("".join(parts) + re.escape(pattern[end:]), re.DOTALL)
