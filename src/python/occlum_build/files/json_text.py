"""Reads JSON that others made: bounded depth, numbers and text that can be written again."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import JSON_DEPTH

_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{\]}]', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile("[\ud800-\udfff]")


def load_json(data: bytes, name: str, *, code: str = "json", depth: int = JSON_DEPTH) -> Any:
    """The value of one JSON document; `name` is the file that errors show.

    Raises OcclumError `code`: not JSON, not UTF-8, nested deeper than `depth`, a number that is
    none of JSON's or too long, a string with half a character.
    """
    _check_depth(data, name, code, depth)
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = Place(name, error.lineno, error.colno)
        raise OcclumError(code, f"not JSON: {error.msg}", place=place) from None
    except ValueError as error:  # not UTF-8, a number of thousands of digits, NaN
        raise OcclumError(code, f"not JSON: {error}", place=Place(name)) from None
    if b"\\u" in data and _has_surrogate(value):
        message = "not JSON: a string has one half of a surrogate pair"
        raise OcclumError(code, message, place=Place(name))
    return value


def _check_depth(data: bytes, name: str, code: str, limit: int) -> None:
    """Before json.loads, which ends in a RecursionError at some depth of its own."""
    brackets = _brackets(data)
    for _ in range(limit):  # each round takes away the innermost
        if not brackets:
            return
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data) if brackets else ():
        first = match[0][:1]
        depth += (first in b"[{") - (first in b"]}")
        if depth > limit:
            line = data.count(b"\n", 0, match.start()) + 1
            message = f"nested more than {limit} levels deep"
            raise OcclumError(code, message, place=Place(name, line))


def _brackets(data: bytes) -> bytes:
    """Those outside of strings. A backslash outside of them is no JSON, as the reader will say."""
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(unescaped.split(b'"')[::2]).translate(None, _NO_BRACKETS)


def _has_surrogate(value: Any) -> bool:
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += [*one, *one.values()]
        elif isinstance(one, list):
            pending += one
        elif isinstance(one, str) and _SURROGATE.search(one):
            return True
    return False


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")
