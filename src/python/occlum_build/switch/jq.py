"""Edits of an Occlum.json that jq (or yq) makes, as far as they are assignments of JSON values.

A filter is a chain of `.a.b = VALUE`, `.a.b += VALUE` and `del(.a.b)`; all else is not understood.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union

from occlum_build.errors import OcclumError
from occlum_build.sgx.config import parse_json
from occlum_build.sgx.config.jsontext import plain

ASSIGN, ADD, DELETE = "=", "+=", "del"
MOST_STEPS = 16  # of a path
_STEP = re.compile(
    r'\s*(?:\.\s*(?P<name>[A-Za-z_]\w*)|\.?\s*"(?P<quoted>[^"\\]*)"'
    r'|\.?\[\s*(?:"(?P<key>[^"\\]*)"|(?P<index>\d{1,6}))\s*\])',
    re.ASCII,
)
_OPERATOR = re.compile(r"\s*(\+?=)(?!=)\s*")
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)\s*\Z", re.ASCII)
_DELETE = re.compile(r"\s*del\((.*)\)\s*\Z", re.DOTALL)
# Options of jq and yq by how many words follow them.
_OPTIONS = {
    **dict.fromkeys(
        ("-r", "-M", "-C", "-c", "-S", "-e", "-i", "-P", "--tab", "-j", "--in-place"), 0
    ),
    **dict.fromkeys(("--indent", "-o", "-p"), 1),
    **dict.fromkeys(("--arg", "--argjson"), 2),
}

Step = Union[str, int]


@dataclass(frozen=True)
class Edit:
    """One assignment: what it does, where and with which JSON value."""

    operator: str
    path: tuple[Step, ...]
    value: Any = None


@dataclass(frozen=True)
class Unread:
    """A part of a filter that is not understood."""

    text: str


@dataclass(frozen=True)
class Call:
    """A call of jq: its filter, the files that it reads, and its variables."""

    filter: str
    files: tuple[str, ...]
    variables: Mapping[str, Any]


def call_of(words: Sequence[str | None]) -> Call | None:
    """A call by its words behind the name; None where they cannot be told."""
    plain_words: list[str] = []
    variables: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if word is None:
            return None
        if not word.startswith("-") or word == "-":
            plain_words.append(word)
            continue
        if word not in _OPTIONS:
            return None
        taken = [next(rest, None) for _ in range(_OPTIONS[word])]
        value = _value_of(word, taken[-1] if taken else None)
        if len(taken) == 2 and taken[0] is not None and not isinstance(value, Unread):
            variables[taken[0]] = value
    if plain_words[:1] == ["eval"]:  # yq
        del plain_words[0]
    return Call(plain_words[0], tuple(plain_words[1:]), variables) if plain_words else None


def _value_of(option: str, text: str | None) -> Any:
    """That of a variable; Unread where it cannot be told."""
    if text is None or option not in ("--arg", "--argjson"):
        return Unread(text or "")
    return text if option == "--arg" else _json(text)


def edits_of(call: Call) -> Iterator[Edit | Unread]:
    """The parts of the filter in their order."""
    for stage in _stages(call.filter):
        if stage.strip() not in ("", "."):
            yield _edit(stage, call.variables)


def apply(document: Any, edit: Edit) -> None:
    """Change an object by an edit; ValueError, and no change, where jq could not do it either."""
    holder: Any = {"": document}
    key: Step = ""
    missing: list[Step] = []
    for step in edit.path:
        if missing or holder[key] is None:
            missing.append(step)
            continue
        holder, key = holder[key], step
        if isinstance(step, int):
            if not isinstance(holder, list) or step >= len(holder):
                raise ValueError("there is no such item of a list")
        elif not isinstance(holder, dict):
            raise ValueError(f"{step!r} is no key of what is there")
        elif step not in holder:
            missing.append(step)
    if any(isinstance(step, int) for step in missing):
        raise ValueError("there is no such list")
    _put(holder, key, missing, edit)


def _put(holder: Any, key: Step, missing: Sequence[Step], edit: Edit) -> None:
    """Do what the edit does at a key; below it, `missing` are keys that are not there yet."""
    if edit.operator == DELETE:
        if not missing:
            del holder[key]
        return
    value = copy.deepcopy(edit.value)
    if missing:
        if isinstance(holder, dict) and key not in holder:
            missing = missing[1:]  # the first one is the key itself
        for step in reversed(missing):
            value = {step: value}
        holder[key] = value
    elif edit.operator == ASSIGN or holder[key] is None:
        holder[key] = value
    elif isinstance(holder[key], list) and isinstance(value, list):
        holder[key].extend(value)
    elif isinstance(holder[key], dict) and isinstance(value, dict):
        holder[key].update(value)
    else:
        raise ValueError("only lists and objects are added to")


def merge_patch(old: Any, new: Any) -> dict[str, Any]:
    """The JSON merge patch (RFC 7396) that makes one object of the other."""
    patch: dict[str, Any] = {}
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if key not in new:
            patch[key] = None
        elif isinstance(before, dict) and isinstance(after, dict):
            inner = merge_patch(before, after)
            if inner:
                patch[key] = inner
        elif key not in old or before != after or type(before) is not type(after):
            patch[key] = after
    return patch


def _stages(text: str) -> list[str]:
    """The filter at its `|`, but for those within brackets and strings."""
    stages, start, depth, is_string, at = [], 0, 0, False, 0
    while at < len(text):
        character = text[at]
        if is_string:
            at += character == "\\"
            is_string = character != '"'
        elif character == '"':
            is_string = True
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "|" and not depth and text[at + 1 : at + 2] != "=":
            stages.append(text[start:at])
            start = at + 1
        at += 1
    return [*stages, text[start:]]


def _edit(stage: str, variables: Mapping[str, Any]) -> Edit | Unread:
    deleted = _DELETE.match(stage)
    path, end = _path(deleted[1] if deleted else stage)
    if not path or len(path) > MOST_STEPS:
        return Unread(stage.strip())
    if deleted:
        return Edit(DELETE, path) if not deleted[1][end:].strip() else Unread(stage.strip())
    operator = _OPERATOR.match(stage, end)
    if not operator:
        return Unread(stage.strip())
    text = stage[operator.end() :].strip()
    variable = _VARIABLE.match(text)
    value = variables.get(variable[1], Unread(text)) if variable else _json(text)
    if isinstance(value, Unread):
        return Unread(stage.strip())
    return Edit(operator[1], path, value)


def _path(text: str) -> tuple[tuple[Step, ...], int]:
    """The steps of a path at the beginning of a text, and where it ends."""
    steps: list[Step] = []
    at = 0
    while len(steps) <= MOST_STEPS and (step := _STEP.match(text, at)):
        if not steps and not text[at:].lstrip().startswith("."):
            break
        index = step["index"]
        name = step["name"] or step["quoted"] or step["key"] or ""
        steps.append(name if index is None else int(index))
        at = step.end()
    return tuple(steps), at


def _json(text: str) -> Any:
    """The value of a JSON text; Unread for any other."""
    try:
        return plain(parse_json(text.encode("utf-8", "replace"), "jq"))
    except OcclumError:
        return Unread(text)
