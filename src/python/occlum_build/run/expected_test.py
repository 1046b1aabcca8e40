from __future__ import annotations

import signal

import pytest

from occlum_build.run import expected
from occlum_build.run.expected import Expected, Found, differences, pattern_problem

FOUND = Found(0, "one\ntwo\n", "", {"/f": "x\n", "/g": None})


def test_what_is_as_expected_is_not_told() -> None:
    assert differences(Expected(), FOUND) == []
    files = {"/f": "x\n"}
    assert differences(Expected(0, "one\ntwo\n", "", files), FOUND) == []
    assert differences(Expected(0, "re:^two$", "re:", {"/f": "re:x"}), FOUND) == []


def test_a_text_is_shown_as_a_diff() -> None:
    assert differences(Expected(stdout="one\n2\n"), FOUND) == [
        "--- standard output (expected)",
        "+++ standard output (found)",
        "@@ -1,2 +1,2 @@",
        " one",
        "-2",
        "+two",
    ]
    assert differences(Expected(stdout="one\ntwo"), FOUND)[-2:] == ["-two (no line end)", "+two"]


def test_what_was_not_compared_is_shown_where_something_is_wrong() -> None:
    found = Found(3, "out\n", "\x1b[31mred\n")
    assert differences(Expected(stdout="out\n"), found) == [
        "exit code: expected 0, found 3",
        "standard error:",
        "  \\x1b[31mred",
    ]
    assert differences(Expected(), Found(139, "", ""))[0] == (
        "exit code: expected 0, found 139 (ended by signal 11)"
    )
    assert differences(Expected(exit=139), Found(139, "", "x")) == []


def test_patterns_and_files() -> None:
    assert differences(Expected(stdout="re:three"), FOUND) == [
        "standard output: nothing matches three",
        "standard output:",
        "  one",
        "  two",
    ]
    assert differences(Expected(files={"/g": "", "/h": ""}), FOUND)[:2] == [
        "/g: expected a file, found none",
        "/h: expected a file, found none",
    ]
    assert differences(Expected(files={"/f": "y\n"}), FOUND)[:2] == [
        "--- /f (expected)",
        "+++ /f (found)",
    ]


def test_a_pattern_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected, "_PATTERN_SECONDS", 0.2)
    lines = differences(Expected(stdout="re:^(0+)+$"), Found(0, "0" * 40 + "x", ""))
    assert lines[0] == (
        "standard output: in 0.2 s it was not found out whether anything matches ^(0+)+$"
    )
    assert differences(Expected(stdout="re:^0+$"), Found(0, "0" * 40, "")) == []
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_very_long_texts_are_cut() -> None:
    lines = differences(Expected(stdout="x\n"), Found(0, "y\n" * 1000, ""))
    assert len(lines) < 500
    assert lines[-1] == "+(600 more lines)"


@pytest.mark.parametrize("text", ["plain (", "re:a.c", "re:"])
def test_patterns_that_are_none_or_right(text: str) -> None:
    assert pattern_problem(text) == ""


def test_a_pattern_that_is_wrong() -> None:
    assert "re:( is no regular expression: missing )" in pattern_problem("re:(")
