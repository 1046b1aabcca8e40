"""Patterns as rsync understands them: each row was compared with rsync 3.5.0."""

from __future__ import annotations

from random import Random

import pytest

from occlum_build.bom.excludes import compile_excludes

DIRS = ["d", "d/e", "d/e/f", "x"]
FILES = ["a", "ab", "a.b", "d/a", "d/e/a", "d/e/f/a", "x/a", "x/d", "d/a\nb", "-", "[a]", "\\"]
PATHS = [*((path, True) for path in DIRS), *((path, False) for path in FILES)]


def _left_out(*patterns: str) -> list[str]:
    excluded = compile_excludes(patterns)
    return [path for path, is_dir in PATHS if excluded(path, is_dir)]


ALL_A = ["a", "d/a", "d/e/a", "d/e/f/a", "x/a"]


@pytest.mark.parametrize(
    ("pattern", "due"),
    [
        ("a", ALL_A),
        ("/a", ["a"]),
        ("a/", []),
        ("d", ["d", "x/d"]),
        ("d/", ["d"]),
        ("/d/", ["d"]),
        ("d/a", ["d/a"]),
        ("e/a", ["d/e/a"]),
        ("/e/a", []),
        ("e/f/", ["d/e/f"]),
        ("- ab", ["ab"]),
        ("?b", ["ab"]),
        ("a?b", ["a.b", "d/a\nb"]),
        ("a*b", ["ab", "a.b", "d/a\nb"]),
        ("/d/*/a", ["d/e/a"]),
        ("/d/**/a", ["d/e/a", "d/e/f/a"]),
        ("/d/**a", ["d/a", "d/e/a", "d/e/f/a"]),
        ("**/a", ALL_A),
        ("***/a", ALL_A),
        ("**/e/a", ["d/e/a"]),
        ("**a", ALL_A),
        ("d/***", ["d"]),
        ("/d/e/**", ["d/e/f", "d/e/a", "d/e/f/a"]),
        ("[a]", ALL_A),
        ("\\[a\\]", ["[a]"]),
        ("\\[a\\]*", ["[a]"]),
        ("[[]a]", ["[a]"]),
        ("[!adef]", ["x", "-", "\\"]),
        ("[^adef]", ["x", "-", "\\"]),
        ("a[.]b", ["a.b"]),
        ("a[]. ]b", ["a.b"]),
        ("[a-c]b", ["ab"]),
        ("[c-a]b", []),
        ("[c-ab]b", []),
        ("[a--]b", ["ab"]),
        ("[[:alpha:]]b", ["ab"]),
        ("[[:punct:]]", ["-", "\\"]),
        ("a[[:punct:]]b", ["a.b"]),
        ("a[^[:alnum:]]b", ["a.b", "d/a\nb"]),
        ("a[[:cntrl:]]b", ["d/a\nb"]),
        ("[[:wrong:]]b", []),
        ("[a", []),
        ("a[", []),
        ("[a-", []),
        ("[\\]b", []),
        ("[\\a]b", ["ab"]),
        ("[a-\\c]b", ["ab"]),
        ("\\", ["\\"]),
        ("a.b", ["a.b"]),
        ("é", []),
    ],
)
def test_pattern(pattern: str, due: list[str]) -> None:
    assert sorted(_left_out(pattern)) == sorted(due)


def test_several_patterns_and_none() -> None:
    assert _left_out("/a", "x/", "ab") == ["x", "a", "ab"]
    assert _left_out() == []


def test_slash_is_never_in_a_bracket_expression() -> None:
    assert not compile_excludes(["d[!x]a"])("d/a", False)
    assert not compile_excludes(["d[/]a"])("d/a", False)


def _matches(body: str, name: str) -> bool:
    """What `*`, `**` and `?` mean, tried in all ways."""
    if not body:
        return not name
    if body.startswith("**"):
        rest = body.lstrip("*")
        return any(_matches(rest, name[start:]) for start in range(len(name) + 1))
    if body[0] == "*":
        ends = [at for at in range(len(name) + 1) if "/" not in name[:at]]
        return any(_matches(body[1:], name[at:]) for at in ends)
    same = bool(name) and (body[0] == name[0] or (body[0] == "?" and name[0] != "/"))
    return same and _matches(body[1:], name[1:])


def _due(pattern: str, path: str) -> bool:
    body, starts = pattern.lstrip("/"), [path]
    if body.startswith("**") and body.lstrip("*").startswith("/"):
        pattern = body = body.lstrip("*")[1:]
    if not pattern.startswith("/"):
        starts += [path[at + 1 :] for at, one in enumerate(path) if one == "/"]
    return any(_matches(body, start) for start in starts)


def test_wildcards_match_what_trying_all_ways_finds() -> None:
    random = Random(7)
    paths = ["/".join(_word(random, "aab", 3) for _ in range(4)) for _ in range(40)]
    for _ in range(2000):
        pattern = "".join(random.choice(["a", "b", "/", "*", "**", "?"]) for _ in range(8))
        if not pattern.strip("/") or pattern.endswith(("/", "/***")) or "//" in pattern:
            continue
        excluded = compile_excludes([pattern])
        for path in paths:
            assert excluded(path, False) == _due(pattern, path), (pattern, path)


def _word(random: Random, letters: str, most: int) -> str:
    return "".join(random.choice(letters) for _ in range(random.randint(1, most)))


@pytest.mark.parametrize(
    "pattern", ["*a" * 30 + "b", "**a" * 30 + "b", "**a*" * 30 + "b", "*a/" * 30 + "*b", "a*" * 500]
)
def test_hopeless_patterns_end(pattern: str) -> None:
    """With a matcher that tries again, each would take longer than anybody waits."""
    excluded = compile_excludes([pattern])
    for path in ("a" * 250, "a/" * 1000 + "a", "a" * 4000):
        assert not excluded(path, False) or pattern == "a*" * 500


def test_patterns_of_any_number_are_looked_up() -> None:
    excluded = compile_excludes(
        [*(f"d/{n}" for n in range(50_000)), *(f"{n}*x" for n in range(500))]
    )
    assert excluded("a/d/49999", False) and excluded("a/499ax", False)
    assert not excluded("a/49999", False)
