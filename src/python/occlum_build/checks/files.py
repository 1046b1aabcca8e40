"""The files of an image by patterns, so that many can be looked up in many files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from occlum_build.checks.root import Root
from occlum_build.image.entries import FILE

_WILD = re.compile(r"\*\*/|[*?]|\[[^]]*\]")


class Files:
    """The regular files of a root file system, and the links that lead to one.

    What was looked up is kept: it comes of paths, and of no content.
    """

    def __init__(self, root: Root) -> None:
        self.root = root
        self._known: dict[str, bool] = {}  # by pattern
        self._named: dict[str, Sequence[str]] = {}  # by pattern of base names

    def matching(self, pattern: str) -> list[str]:
        """The sorted paths of the files that a pattern matches (`families.model.Need`)."""
        return sorted(self._matching(pattern))

    def has(self, pattern: str) -> bool:
        """Whether there is a file that a pattern matches."""
        known = self._known.get(pattern)
        if known is None:
            known = self._known[pattern] = any(True for _ in self._matching(pattern))
        return known

    def is_file(self, path: str) -> bool:
        """Whether a path leads to a file."""
        return self.root.kind(path) == FILE

    def has_named(self, name: str) -> bool:
        """Whether there is a file with a base name, anywhere."""
        return any(map(self.is_file, self.root.named(name, links=True)))

    @cached_property
    def filled(self) -> frozenset[str]:
        """The directories that have something in them."""
        return frozenset(path.rpartition("/")[0] or "/" for path in self.root.paths if path != "/")

    def _matching(self, pattern: str) -> Iterator[str]:
        if not _WILD.search(pattern):
            yield from (pattern,) if self.is_file(pattern) else ()
            return
        matches, is_file = _regex(pattern).fullmatch, self.is_file
        yield from (one for one in self._candidates(pattern) if matches(one) and is_file(one))

    def _candidates(self, pattern: str) -> Sequence[str]:
        """The few paths that a pattern may match: what is plain at its end is looked up."""
        directory, name = posixpath.split(pattern)
        parent = posixpath.basename(directory)
        if parent and _WILD.search(name) and not _WILD.search(parent):
            return self._by_parent.get(parent, ())
        if name not in self._named:
            self._named[name] = list(self._with_name_like(name))
        return self._named[name]

    @cached_property
    def _by_parent(self) -> dict[str, list[str]]:
        """Base name of a directory -> the paths of all that is in such a one."""
        by_parent: dict[str, list[str]] = {}
        for path in self.root.paths:
            parent = path.rpartition("/")[0].rpartition("/")[2]
            by_parent.setdefault(parent, []).append(path)
        return by_parent

    def _with_name_like(self, pattern: str) -> Iterator[str]:
        """The paths whose base name a pattern without directories matches; a link may dangle."""
        wild = _WILD.search(pattern)
        if wild is None:
            yield from self.root.named(pattern, links=True)
            return
        # A plain beginning and end rule out nearly all of what may be 50,000 names.
        start, end = pattern[: wild.start()], _WILD.split(pattern)[-1]
        matches = _regex(pattern).fullmatch
        for name in self.root.names:
            if name.endswith(end) and name.startswith(start) and matches(name):
                yield from self.root.named(name, links=True)


def literal(text: str) -> str:
    """A pattern that matches a text and nothing else."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _regex(pattern: str) -> re.Pattern[str]:
    parts, end = [], 0
    for wild in _WILD.finditer(pattern):
        parts.append(re.escape(pattern[end : wild.start()]))
        special = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
        one = re.escape(wild[0][1]) if len(wild[0]) == 3 and wild[0][0] == "[" else wild[0]
        parts.append(special.get(wild[0], one))
        end = wild.end()
    return re.compile("".join(parts) + re.escape(pattern[end:]), re.DOTALL)
