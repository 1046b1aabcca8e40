"""Reads JSON that others wrote: of a bounded depth, and nothing that cannot be written again."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import JSON_DEPTH, JSON_DIGITS

_STRING_OR_BRACKET = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{\]}]', re.DOTALL)
_CONTAINERS = frozenset((dict, list))  # as they are made of JSON, so that type() will do
_MOST_OF_A_KEY = 80
_SURROGATE = re.compile("[\ud800-\udfff]")


def load_json(
    data: bytes,
    name: str,
    *,
    code: str = "json",
    depth: int = JSON_DEPTH,
    is_unique: bool = False,
) -> Any:
    """The value of one JSON document; `name` is the file that errors show.

    Raises OcclumError `code`: not JSON, not UTF-8, nested deeper than `depth`, a number that is
    none of JSON's or too long, a string with half a character; `is_unique`: a key that an object
    has twice, of which readers take one or the other.
    """
    try:
        value = (_decode_unique if is_unique else _decode)(data.decode("utf-8"))
        if _is_deeper(value, depth):
            raise RecursionError
        if b"\\u" in data and _has_surrogate(value):
            raise ValueError("a string has one half of a surrogate pair")
    except json.JSONDecodeError as error:
        place = Place(name, error.lineno, error.colno)
        raise OcclumError(code, f"not JSON: {error.msg}", place=place) from None
    except _Twice as error:
        raise OcclumError(code, str(error), place=Place(name)) from None
    except ValueError as error:  # not UTF-8, a number of thousands of digits, NaN
        raise OcclumError(code, f"not JSON: {error}", place=Place(name)) from None
    except RecursionError:  # ours, or of the reader, which has a bound of its own
        place = Place(name, _line_deeper(data, depth))
        raise OcclumError(code, f"nested more than {depth} levels deep", place=place) from None
    except MemoryError:  # a list of nothing but lists takes thirty times its text
        message = "too large for the memory that there is"
        raise OcclumError(code, message, place=Place(name)) from None
    return value


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value] if type(value) in _CONTAINERS else []
    for _ in range(limit):
        level = [
            one
            for container in level
            for one in (container.values() if isinstance(container, dict) else container)
            if type(one) in _CONTAINERS
        ]
        if not level:
            return False
    return bool(level)


def _line_deeper(data: bytes, limit: int) -> int:
    """The line of the first bracket that is nested too deeply; 0 where that cannot be told."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(data):
        first = match[0][:1]
        depth += (first in b"[{") - (first in b"]}")
        if depth > limit:
            return data.count(b"\n", 0, match.start()) + 1
    return 0


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


def _integer(digits: str) -> int:
    """Not int() alone: its time grows with the square, and its own limit can be switched off."""
    if len(digits) > JSON_DIGITS:
        raise ValueError(f"a number has more than {JSON_DIGITS} digits")
    return int(digits)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


class _Twice(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Twice(f"an object has the key {key[:_MOST_OF_A_KEY]!r} twice")
            seen.add(key)
    return found


_decode = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse_constant).decode
_decode_unique = json.JSONDecoder(
    parse_int=_integer, parse_constant=_refuse_constant, object_pairs_hook=_unique
).decode
