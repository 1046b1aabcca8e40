"""Plain values -> the bytes that serde_json's pretty printer gives (the libOS measures them).

Two blanks a level, `"key": value`, empty containers as `[]` and `{}`, no newline at the end,
strings in raw UTF-8 with `"`, backslash and the characters below 0x20 escaped, floats in ryu's
shortest form.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any


def pretty(value: Any) -> bytes:
    """The UTF-8 bytes of dicts (in their own order), lists, strings, numbers, booleans and None."""
    return _text(value, "\n").encode("utf-8")


def sort_keys(value: Any) -> Any:
    """The same value with the keys of every dict in order of their UTF-8 bytes."""
    if isinstance(value, dict):
        # Code points and UTF-8 bytes sort alike.
        return {key: sort_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [sort_keys(item) for item in value]
    return value


def float_text(number: float) -> str:
    """A finite float as ryu's pretty form: 0.00001, 1e-6, 1000000000000000.0, 1e16, -0.0."""
    if number == 0:
        return str(number)
    sign, all_digits, exponent = Decimal(repr(number)).as_tuple()
    digits = "".join(map(str, all_digits)).rstrip("0")
    point = len(all_digits) + int(exponent)  # how many digits stand before the decimal point
    minus = "-" if sign else ""
    if len(digits) <= point <= 16:
        return f"{minus}{digits.ljust(point, '0')}.0"
    if 0 < point <= 16:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if -5 < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if digits[1:] else ""
    return f"{minus}{digits[0]}{tail}e{point - 1}"


def _text(value: Any, newline: str) -> str:
    if isinstance(value, float):
        return float_text(value)
    inner = newline + "  "
    if isinstance(value, dict) and value:
        parts = [f"{_string(key)}: {_text(item, inner)}" for key, item in value.items()]
        return "{" + inner + ("," + inner).join(parts) + newline + "}"
    if isinstance(value, list) and value:
        parts = [_text(item, inner) for item in value]
        return "[" + inner + ("," + inner).join(parts) + newline + "]"
    return _string(value)


def _string(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
