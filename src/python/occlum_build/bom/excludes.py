"""The exclude patterns of a BOM: those of rsync's --exclude, compiled to one test.

A name is compared with a pattern in a time linear in both, whatever the pattern is: literal ones
are looked up, most others are regular expressions that do not try again what they have tried, and
the few that these cannot express are followed at all their places at once (`bom.globs`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Callable

from occlum_build.bom.globs import (
    ANY,
    SLASH,
    follow_all,
    has_simple_regex,
    regex_of,
    tokens_of,
)
from occlum_build.bom.operations import has_wildcard

# (path relative to the transfer's root, is it a directory) -> is it left out
Excluded = Callable[[str, bool], bool]

MAX_PATTERN = 4096  # characters
MAX_WILDCARDS = 1 << 16  # characters of all patterns with wildcards of a BOM
_REGEXES_TOGETHER = 100  # a try of each one takes time for the groups of all


def compile_excludes(patterns: Sequence[str]) -> Excluded:
    """One test for all patterns.

    A leading slash anchors at the transfer's root, a trailing one means directories only; without
    an inner slash (or `**`) the last component is matched, else the end of the whole path.
    """
    cleaned = dict.fromkeys(one[2:] if one.startswith("- ") else one for one in patterns)
    any_tests = _tests([one for one in cleaned if not _is_for_dirs(one)])
    dir_tests = _tests([one for one in cleaned if _is_for_dirs(one)])

    def excluded(path: str, is_dir: bool) -> bool:
        for test in any_tests:
            if test(path):
                return True
        return is_dir and any(test(path) for test in dir_tests)

    return excluded


def _is_for_dirs(pattern: str) -> bool:
    """`d/***` is the directory and all in it, which goes with the directory anyway."""
    return pattern.endswith(("/", "/***")) and pattern != "/***"


def _tests(patterns: Iterable[str]) -> list[Callable[[str], bool]]:
    """Tests of a path, one of which it passes where it matches one of the patterns."""
    # By how many slashes there are in the end of a path that is compared, None for all of it.
    literals: dict[int | None, set[str]] = {}
    regexes: dict[int | None, list[str]] = {}
    followed: list[tuple[Sequence[str], bool]] = []
    group_names = (f"g{number}" for number in range(MAX_WILDCARDS))
    for pattern in patterns:
        body, is_anchored = _body(pattern)
        if not has_wildcard(body):
            slashes = None if is_anchored else body.count(SLASH)
            literals.setdefault(slashes, set()).add(body)
            continue
        if body.startswith("**") and body.lstrip("*").startswith(SLASH):  # also at the root
            body, is_anchored = body.lstrip("*")[1:], False
        tokens = tokens_of(body)
        if tokens is None:
            continue
        if not has_simple_regex(tokens, is_anchored=is_anchored):
            followed.append((tokens, is_anchored))
        elif is_anchored or ANY not in tokens:
            slashes = None if is_anchored else tokens.count(SLASH)
            regexes.setdefault(slashes, []).append(regex_of(tokens, group_names))
        else:
            regexes.setdefault(None, []).append(f"(?:.*/)?{regex_of(tokens, group_names)}")
    tests = [_test(slashes, bodies.__contains__) for slashes, bodies in literals.items()]
    for slashes, some in regexes.items():
        for start in range(0, len(some), _REGEXES_TOGETHER):
            together = some[start : start + _REGEXES_TOGETHER]
            tests.append(_test(slashes, _any_regex(together)))
    return [*tests, follow_all(followed)] if followed else tests


def _body(pattern: str) -> tuple[str, bool]:
    """What is compared, and whether with the whole path."""
    is_anchored = pattern.startswith(SLASH)
    if _is_for_dirs(pattern):
        pattern = pattern.rpartition(SLASH)[0]
    return (pattern[1:] if is_anchored else pattern), is_anchored


def _any_regex(regexes: Sequence[str]) -> Callable[[str], bool]:
    match = re.compile(f"(?:{'|'.join(regexes)})\\Z", re.DOTALL).match
    return lambda text: match(text) is not None


def _test(slashes: int | None, test: Callable[[str], bool]) -> Callable[[str], bool]:
    """A test of the last components of a path, with so many slashes between them."""
    if slashes is None:
        return test
    if slashes == 0:
        return lambda path: test(path[path.rfind(SLASH) + 1 :])
    return lambda path: path.count(SLASH) >= slashes and test(_end(path, slashes))


def _end(path: str, slashes: int) -> str:
    return path.split(SLASH, path.count(SLASH) - slashes)[-1]
