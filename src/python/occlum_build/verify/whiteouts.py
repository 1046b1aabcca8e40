"""Whiteouts: what a layer of an OCI image removes of the layers below it.

They are applied to lower layers alone, whatever their place in the archive (image-spec, layer.md).
Runtimes apply them one after the other, so that some orders give different trees.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from occlum_build.files.tar_reader import DIR, FILE, Member
from occlum_build.occlum.archive_tree import clean

PREFIX, OPAQUE = ".wh.", ".wh..wh..opq"


def is_whiteout(member: Member) -> bool:
    return posixpath.basename(clean(member.name)).startswith(PREFIX)


def is_below_whiteout(name: str) -> bool:
    """Some take a directory of such a name for a whiteout, and some for a directory."""
    return f"/{posixpath.dirname(name)}".find(f"/{PREFIX}") >= 0


def removed_name(member: Member) -> str:
    """The name that a whiteout removes from its directory; "" of one that is for all of them."""
    base = posixpath.basename(clean(member.name))
    return "" if base == OPAQUE else base[len(PREFIX) :]


def is_no_name(member: Member) -> bool:
    """Does it remove what is no name? Runtimes take it for the directory, or the one above."""
    base = posixpath.basename(clean(member.name))
    return base[len(PREFIX) :] in ("", ".", "..")


def is_usual(member: Member) -> bool:
    """A file, and none of the names that one file system kept for itself."""
    base = posixpath.basename(clean(member.name))
    return member.kind == FILE and (base == OPAQUE or not base.startswith(2 * PREFIX))


class _Mark:
    """What a layer has done so far at one place; `kind` is "" where it has no member."""

    __slots__ = ("below", "has_implied", "is_removed", "kind")

    def __init__(self) -> None:
        self.below: dict[str, _Mark] = {}
        self.kind = ""
        self.is_removed = False
        self.has_implied = False  # a directory below that has no member of its own


class Order:
    """The members of one layer, in their order: of which does the result depend on it?"""

    def __init__(self) -> None:
        self._top = _Mark()
        self.count = 0

    def put(self, name: str, kind: str) -> bool:
        """A member; False where the layer also removes it, or what it is in."""
        marks = self._walk(name.split("/"))
        if len(marks) > 1 and not marks[-2].kind:
            for mark in marks[:-2]:
                mark.has_implied = True
            self._top.has_implied = True
        marks[-1].kind = kind
        return not any(mark.is_removed for mark in marks)

    def remove(self, folder: Sequence[str], name: str) -> bool:
        """A whiteout of a name, or of all where it is ""; False where the layer has put it."""
        if not name:
            mark = self._walk(folder)[-1] if folder else self._top
            return not mark.has_implied
        mark = self._walk([*folder, name])[-1]
        mark.is_removed = True
        return not mark.kind and not mark.below

    def kinds(self, folder: Sequence[str]) -> list[str]:
        """What the layer has put so far at each part of a path."""
        return [mark.kind for mark in self._walk(folder)]

    def _walk(self, parts: Sequence[str]) -> list[_Mark]:
        marks, mark = [], self._top
        for part in parts:
            if part not in mark.below:
                mark.below[part] = _Mark()
                self.count += 1
            mark = mark.below[part]
            marks.append(mark)
        return marks


def is_astray(kinds: Sequence[str], lower: Sequence[str]) -> bool:
    """Is its directory below a link or a file, of lower layers or of its own?

    `kinds` and `lower` are of each part of its path; what the layer has put counts first.
    """
    return any((own or below) not in ("", DIR) for own, below in zip(kinds, lower))
