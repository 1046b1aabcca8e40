"""Words of a shell script as far as they are known without running it: parameters are replaced."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Optional

from occlum_build.packages.shell_words import OPAQUE, PARAMETER, QUOTED, TEXT, Piece, Word

MAX_CHARACTERS = 4 << 20  # of all values and arguments, where each counts as some more
_WORD = 16
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")

# A word, or None for what cannot be told.
Argument = Optional[str]


class TooLong(Exception):
    """The script is longer than it may be to be followed."""


class Values:
    """Variables, and the arguments of the script or of the function that is being followed.

    `undefined`: what any other variable or argument is.
    """

    def __init__(
        self,
        variables: Mapping[str, str],
        arguments: Sequence[Argument] = (),
        undefined: Argument = "",
    ) -> None:
        self.arguments: list[Argument] = list(arguments)
        self._undefined = undefined
        self._variables: dict[str, Argument] = dict(variables)
        self._assigned_at: dict[str, int] = {}
        self._characters = MAX_CHARACTERS

    def put(self, name: str, value: Argument) -> None:
        self._variables[name] = value

    def unset(self, name: str) -> None:
        self._variables.pop(name, None)

    def assign(self, name: str, word: Word, place: int, is_certain: bool) -> None:
        """What `name=...` does at a place of the script, which may be run or not."""
        first = word[0]._replace(text=word[0].text[len(name) + 1 :])
        fields = self.expanded((first, *map(_as_quoted, word[1:])))
        value = None if None in fields else "".join(one for one in fields if one is not None)
        old = self._variables.get(name)
        is_first = name not in self._variables or self._assigned_at.get(name) == place
        if not is_certain and not is_first and old is not None and old != value:
            if value is None:
                return  # what is refined only sometimes, and cannot be told
            value = None  # one or the other
        self._variables[name] = value
        self._assigned_at[name] = place

    def expanded(self, word: Word) -> list[Argument]:
        """The words that a word becomes: none for an empty parameter, several for its blanks."""
        fields: list[list[Argument]] = []
        for kind, text in word:
            values = self._values_of(kind, text)
            for number, value in enumerate(values):
                if number or not fields:
                    fields.append([])
                fields[-1].append(value)
                self._count(len(value or "") + _WORD)
        return [_joined(parts) for parts in fields]

    def _values_of(self, kind: str, text: str) -> list[Argument]:
        """What a piece stands for, split at blanks where it is not quoted."""
        if kind == TEXT:
            return [text]
        if text == "@":
            return list(self.arguments)
        value = None if kind == OPAQUE else self.value(text)
        return [value] if value is None or kind == QUOTED else list(value.split())

    def value(self, name: str) -> Argument:
        """That of a variable, or of an argument by its number."""
        if not name.isdigit():
            return self._variables.get(name, self._undefined)
        number = int(name) - 1
        if number < 0:  # the script itself
            return None
        return self.arguments[number] if number < len(self.arguments) else self._undefined

    def _count(self, characters: int) -> None:
        self._characters -= characters
        if self._characters < 0:
            raise TooLong


def assigned(word: Word) -> str:
    """The variable of a word `name=...`, "" for any other."""
    match = _ASSIGNMENT.match(word[0].text) if word[0].kind == TEXT else None
    return match[1] if match else ""


def _joined(parts: list[Argument]) -> Argument:
    return None if None in parts else "".join(one for one in parts if one is not None)


def _as_quoted(piece: Piece) -> Piece:
    return piece._replace(kind=QUOTED) if piece.kind == PARAMETER else piece
