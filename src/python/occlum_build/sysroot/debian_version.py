"""The order of Debian's package versions (deb-version(7)): epoch, upstream version, revision."""

from __future__ import annotations

import functools
import re
from itertools import zip_longest
from typing import NamedTuple

_PARTS = re.compile(r"([^0-9]*)([0-9]*)")


class _Part(NamedTuple):
    """Characters that are no digits, by their ranks and that of their end, and a number.

    The number is compared by its digits without leading zeros, first by how many they are, as dpkg
    does: a version may have a million of them.
    """

    ranks: tuple[int, ...] = (0,)
    size: int = 0
    digits: str = ""


_NOTHING = _Part()


@functools.total_ordering
class DebianVersion:
    """A version that compares as `dpkg --compare-versions` does, and prints as it was written."""

    def __init__(self, text: str) -> None:
        self._text = text
        epoch, colon, rest = text.partition(":")
        if not colon:
            epoch, rest = "0", text
        upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
        self._fields = (_parts(epoch), _parts(upstream), _parts(revision))

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"DebianVersion({self._text!r})"

    def __hash__(self) -> int:
        return hash(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DebianVersion) and self._fields == other._fields

    def __lt__(self, other: DebianVersion) -> bool:
        for own, others in zip(self._fields, other._fields):
            for one, another in zip_longest(own, others, fillvalue=_NOTHING):
                if one != another:
                    return one < another
        return False


def _parts(text: str) -> tuple[_Part, ...]:
    parts = []
    for match in _PARTS.finditer(text):
        digits = match[2].lstrip("0")
        parts.append(_Part((*map(_rank, match[1]), 0), len(digits), digits))
    while parts and parts[-1] == _NOTHING:
        parts.pop()
    return tuple(parts)


def _rank(character: str) -> int:
    """A tilde comes before the end of the text (0), letters before all else."""
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 0x110000
