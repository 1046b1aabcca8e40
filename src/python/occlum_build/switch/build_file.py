"""Targets as the text of a BUILD file, as Pants' formatters for Python leave them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_WIDTH = 88
_INDENT = 4


@dataclass(frozen=True)
class Target:
    """A target: its type, and its fields in their order."""

    type: str
    fields: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.fields["name"])

    def __str__(self) -> str:
        arguments = [f"{name}={_value(value, 1)}" for name, value in self.fields.items()]
        line = f"{self.type}({', '.join(arguments)})"
        if len(line) <= _WIDTH and "\n" not in line and len(arguments) <= 3:
            return line
        return "\n".join([f"{self.type}(", *(f"    {one}," for one in arguments), ")"])


def build_file(targets: Iterable[Target]) -> str:
    """The text of a BUILD file."""
    return "\n\n".join(map(str, targets)) + "\n"


def _value(value: Any, depth: int) -> str:
    """A value as Python has it; lists and dictionaries that are long have a line an item."""
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, (dict, list)):
        return repr(value)
    if isinstance(value, dict):
        opens, closes = "{", "}"
        items = [f"{_text(key)}: {_value(one, depth + 1)}" for key, one in value.items()]
    else:
        opens, closes = "[", "]"
        items = [_value(one, depth + 1) for one in value]
    line = f"{opens}{', '.join(items)}{closes}"
    if len(line) + depth * _INDENT <= _WIDTH - 20 and "\n" not in line:
        return line
    blanks = " " * _INDENT * (depth + 1)
    inner = "".join(f"{blanks}{one},\n" for one in items)
    return f"{opens}\n{inner}{' ' * _INDENT * depth}{closes}"


def _text(text: str) -> str:
    """A text as Python has it; what is not seen is escaped."""
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else ascii(text)
