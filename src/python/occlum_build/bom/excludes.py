"""The exclude patterns of a BOM: those of rsync's --exclude, compiled to one test."""

from __future__ import annotations

import re
from typing import Callable, Sequence

# (path relative to the transfer's root, is it a directory) -> is it left out
Excluded = Callable[[str, bool], bool]


def compile_excludes(patterns: Sequence[str]) -> Excluded:
    """One test for all patterns.

    A leading slash anchors at the transfer's root, a trailing one means directories only; without
    an inner slash (or `**`) the last component is matched, else the end of the whole path.
    """
    everything = [_regex(pattern) for pattern in patterns if not _clean(pattern).endswith("/")]
    dirs_only = [_regex(pattern) for pattern in patterns if _clean(pattern).endswith("/")]
    any_test = re.compile("|".join(everything)) if everything else None
    dir_test = re.compile("|".join(dirs_only)) if dirs_only else None

    def excluded(path: str, is_dir: bool) -> bool:
        if any_test and any_test.match(path):
            return True
        return bool(is_dir and dir_test and dir_test.match(path))

    return excluded


def _clean(pattern: str) -> str:
    return pattern[2:] if pattern.startswith("- ") else pattern


def _regex(pattern: str) -> str:
    pattern = _clean(pattern)
    anchored = pattern.startswith("/")
    body = pattern.strip("/")
    below = body.endswith("/***")  # a directory and all that is in it
    if below:
        body = body[: -len("/***")]
    start = "" if anchored else "(?:.*/)?"
    wild = _has_wildcard(body)
    regex = _translate(body) if wild else re.escape(body)
    return f"(?:{start}{regex}{'(?:/.*)?' if below else ''})\\Z"


def _has_wildcard(body: str) -> bool:
    return any(character in body for character in "*?[")


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
            group, position = _character_class(body, position)
            out.append(group)
        elif character == "\\" and position < len(body):
            out.append(re.escape(body[position]))
            position += 1
        else:
            out.append(re.escape(character))
    return "".join(out)


def _character_class(body: str, start: int) -> tuple[str, int]:
    """The regex of a bracket expression that begins before `start`, and where it ends."""
    negated = body[start : start + 1] in ("!", "^")
    first = start + negated
    end = body.find("]", first + 1)
    if end < 0:
        return re.escape("["), start
    inner = body[first:end].replace("\\", "\\\\").replace("^", "\\^").replace("[", "\\[")
    return f"(?!/)[{'^' if negated else ''}{inner}]", end + 1
