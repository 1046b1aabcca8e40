"""JSON text -> nodes that know their line and column, by the rules of serde_json.

Why not the stdlib reader: `json.loads` gives no positions, drops repeated keys, takes NaN,
Infinity, lone surrogates and floats that overflow, and its depth is the interpreter's recursion
limit. The grammar is small, so it stands here whole; only the escapes of a string already found
well formed are left to `json.loads`. Bounds: MAX_BYTES of text, MAX_DEPTH nested containers
(serde_json's own limit).
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Union

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import CONFIG_BYTES

MAX_BYTES = CONFIG_BYTES
MAX_DEPTH = 127
U64_MAX = 2**64 - 1
I64_MIN = -(2**63)

_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
# The longest good beginning of a string, so that the end of the match is the place of a mistake.
_STRING = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORDS = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z]+")


@dataclass(frozen=True)
class Scalar:
    """A string, number, boolean or null. An int is within i64 or u64, any other number a float."""

    place: Place
    value: str | int | float | bool | None
    raw: str  # as written; also keeps 1, 1.0 and true from being equal


@dataclass(frozen=True)
class Array:
    """A list of nodes."""

    place: Place
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Key:
    """The name of a member and where it stands."""

    name: str
    place: Place


@dataclass(frozen=True)
class Object:
    """Members in order of first appearance; of a repeated key the last value, all in `repeated`."""

    place: Place
    members: tuple[tuple[Key, Node], ...]
    repeated: tuple[Key, ...] = ()

    def get(self, name: str) -> Node | None:
        return next((value for key, value in self.members if key.name == name), None)


Node = Union[Scalar, Array, Object]


def plain(node: Node) -> Any:
    """The Python value of a node: dict, list, str, int, float, bool or None."""
    if isinstance(node, Object):
        return {key.name: plain(value) for key, value in node.members}
    if isinstance(node, Array):
        return [plain(item) for item in node.items]
    return node.value


def parse_json(data: bytes, name: str) -> Node:
    """Read one JSON document; `name` is the file that places and errors show.

    Raises OcclumError: json-size, json-encoding, json-syntax, json-depth or json-number.
    """
    if len(data) > MAX_BYTES:
        raise OcclumError(
            "json-size", f"the file has more than {MAX_BYTES} bytes", place=Place(name)
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise OcclumError(
            "json-encoding", "not UTF-8", place=_Reader(before, name).place(len(before))
        ) from None
    return _Reader(text, name).document()


class _Reader:
    """A recursive descent over the text; every method takes and gives back an offset."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, offset: int) -> Place:
        line = bisect_right(self._lines, offset)
        return Place(self._name, line, offset - self._lines[line - 1] + 1)

    def document(self) -> Node:
        if self._text.startswith("\ufeff"):
            raise self._error(0, "a byte order mark", "save the file as UTF-8 without one")
        node, end = self._value(self._skip(0), 0)
        end = self._skip(end)
        if end < len(self._text):
            raise self._error(end, "text after the end of the JSON value")
        return node

    def _error(
        self, offset: int, message: str, hint: str = "", code: str = "json-syntax"
    ) -> OcclumError:
        return OcclumError(code, message, place=self.place(offset), hint=hint)

    def _skip(self, offset: int) -> int:
        match = _BLANK.match(self._text, offset)
        return match.end() if match else offset

    def _value(self, start: int, depth: int) -> tuple[Node, int]:
        first = self._text[start : start + 1]
        if first == "{" or first == "[":
            if depth == MAX_DEPTH:
                raise self._error(
                    start,
                    f"more than {MAX_DEPTH} lists and objects in each other",
                    "",
                    "json-depth",
                )
            return (self._object if first == "{" else self._array)(start, depth + 1)
        if first == '"':
            text, end = self._string(start)
            return Scalar(self.place(start), text, self._text[start:end]), end
        number = _NUMBER.match(self._text, start)
        if number:
            return Scalar(self.place(start), self._number(number), number.group()), number.end()
        word = _WORD.match(self._text, start)
        if word and word.group() in _WORDS:
            return Scalar(self.place(start), _WORDS[word.group()], word.group()), word.end()
        raise self._unexpected(start, "a value")

    def _unexpected(self, offset: int, wanted: str) -> OcclumError:
        found = self._text[offset : offset + 1]
        hint = ""
        if found and found in "/#":
            hint = "JSON has no comments"
        elif found == "'":
            hint = "JSON strings stand in double quotes"
        elif found and found in "]}":
            hint = "JSON has no comma after the last item"
        elif re.match(r"[-+]?(NaN|Infinity)", self._text[offset : offset + 9]):
            hint = "JSON has no NaN and no Infinity"
        what = repr(found) if found else "the end of the file"
        return self._error(offset, f"expected {wanted}, found {what}", hint)

    def _array(self, start: int, depth: int) -> tuple[Node, int]:
        items: list[Node] = []
        offset = self._skip(start + 1)
        if self._text.startswith("]", offset):
            return Array(self.place(start), ()), offset + 1
        while True:
            item, offset = self._value(offset, depth)
            items.append(item)
            offset = self._skip(offset)
            if self._text.startswith("]", offset):
                return Array(self.place(start), tuple(items)), offset + 1
            offset = self._comma(offset, "]")

    def _object(self, start: int, depth: int) -> tuple[Node, int]:
        members: dict[str, tuple[Key, Node]] = {}
        repeated: list[Key] = []
        offset = self._skip(start + 1)
        if self._text.startswith("}", offset):
            return Object(self.place(start), ()), offset + 1
        while True:
            if not self._text.startswith('"', offset):
                raise self._unexpected(offset, "a key in double quotes")
            key_place = self.place(offset)
            name, offset = self._string(offset)
            key = Key(name, key_place)
            offset = self._skip(offset)
            if not self._text.startswith(":", offset):
                raise self._unexpected(offset, '":"')
            value, offset = self._value(self._skip(offset + 1), depth)
            if name in members:
                repeated.append(key)
            members[name] = (key, value)
            offset = self._skip(offset)
            if self._text.startswith("}", offset):
                node = Object(self.place(start), tuple(members.values()), tuple(repeated))
                return node, offset + 1
            offset = self._comma(offset, "}")

    def _comma(self, offset: int, closing: str) -> int:
        if not self._text.startswith(",", offset):
            raise self._unexpected(offset, f'"," or "{closing}"')
        return self._skip(offset + 1)

    def _string(self, start: int) -> tuple[str, int]:
        match = _STRING.match(self._text, start)
        end = match.end() if match else start
        if not self._text.startswith('"', end):
            if end == len(self._text):
                raise self._error(start, "a string without its closing quote")
            if self._text.startswith("\\", end):
                raise self._error(end, "not a JSON escape")
            hint = "write it as an escape such as \\n"
            raise self._error(end, f"the control character {self._text[end]!r} in a string", hint)
        raw = self._text[start : end + 1]
        text = str(json.loads(raw)) if "\\" in raw else raw[1:-1]
        if _SURROGATE.search(text):
            raise self._error(start, "a lone surrogate (\\ud800 to \\udfff) in a string")
        return text, end + 1

    def _number(self, match: re.Match[str]) -> int | float:
        digits, fraction = match.groups()
        # At most 20 digits and a sign: also keeps int() away from its quadratic time.
        if not fraction and len(digits) <= 21 and digits != "-0":
            integer = int(digits)
            if I64_MIN <= integer <= U64_MAX:
                return integer
        number = float(match.group())
        if math.isinf(number):
            raise self._error(match.start(), "the number is out of range", "", "json-number")
        return number
