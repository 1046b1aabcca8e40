"""The exclude patterns of a BOM: those of rsync's --exclude, compiled to one test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Callable

# (path relative to the transfer's root, is it a directory) -> is it left out
Excluded = Callable[[str, bool], bool]

_NEVER = "(?!)"
_NAMED_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \t",
    "cntrl": "\0-\x1f\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": " \t-\r",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


def compile_excludes(patterns: Sequence[str]) -> Excluded:
    """One test for all patterns.

    A leading slash anchors at the transfer's root, a trailing one means directories only; without
    an inner slash (or `**`) the last component is matched, else the end of the whole path.
    """
    cleaned = [pattern[2:] if pattern.startswith("- ") else pattern for pattern in patterns]
    any_test = _any_of([one for one in cleaned if not _is_for_dirs(one)])
    dir_test = _any_of([one for one in cleaned if _is_for_dirs(one)])

    def excluded(path: str, is_dir: bool) -> bool:
        if any_test and any_test.match(path):
            return True
        return bool(is_dir and dir_test and dir_test.match(path))

    return excluded


def _is_for_dirs(pattern: str) -> bool:
    """`d/***` is the directory and all in it, which goes with the directory anyway."""
    return pattern.endswith(("/", "/***")) and pattern != "/***"


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(_regex, patterns)), re.DOTALL) if patterns else None


def _regex(pattern: str) -> str:
    anchored = pattern.startswith("/")
    if _is_for_dirs(pattern):
        pattern = pattern.rpartition("/")[0]
    body = pattern[1:] if anchored else pattern
    if not any(character in body for character in "*?["):
        return f"(?:{'' if anchored else '(?:.*/)?'}{re.escape(body)})\\Z"
    start = "" if anchored else "(?:.*/)?"
    if body.startswith("**") and body.lstrip("*").startswith("/"):  # also at the transfer's root
        body, start = body.lstrip("*")[1:], "(?:.*/)?"
    return f"(?:{start}{_translate(body)})\\Z"


def _translate(body: str) -> str:
    """rsync's wildmatch: `*` and `?` stop at a slash, `**` does not."""
    out: list[str] = []
    position = 0
    while position < len(body):
        character = body[position]
        position += 1
        if character == "*":
            if body.startswith("*", position):
                while body.startswith("*", position):
                    position += 1
                out.append(".*")
            else:
                out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif character == "[":
            group, position = _bracket_expression(body, position)
            out.append(group)
        elif character == "\\" and position < len(body):
            out.append(re.escape(body[position]))
            position += 1
        else:
            out.append(re.escape(character))
    return "".join(out)


def _bracket_expression(body: str, position: int) -> tuple[str, int]:
    """The regex of the bracket expression whose `[` is before `position`, and where it ends.

    One that is not closed never matches, nor does one with a class name that does not exist.
    """
    negated = body.startswith(("!", "^"), position)
    position += negated
    first = position
    parts: list[str] = []
    while position == first or not body.startswith("]", position):
        named = re.compile(r"\[:([^\]]*):\]").match(body, position)
        if named:
            parts.append(_NAMED_CLASSES.get(named[1], ""))
            position = named.end()
            if not parts[-1]:
                return _NEVER, len(body)
            continue
        low, position = _member(body, position)
        high = low
        if body.startswith("-", position) and body[position + 1 : position + 2] not in ("", "]"):
            high, position = _member(body, position + 1)
        if not low or not high:
            return _NEVER, len(body)
        parts.append(f"{re.escape(low)}-{re.escape(max(low, high))}")
    if not parts:
        return ("[^/]" if negated else _NEVER), position + 1
    return f"(?!/)[{'^' if negated else ''}{''.join(parts)}]", position + 1


def _member(body: str, position: int) -> tuple[str, int]:
    """One character of a bracket expression, "" at the end of the text, and where it ends."""
    if body.startswith("\\", position):
        position += 1
    return body[position : position + 1], position + 1
