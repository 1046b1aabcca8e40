"""Patterns as rsync understands them: each row was compared with rsync 3.5.0."""

from __future__ import annotations

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
