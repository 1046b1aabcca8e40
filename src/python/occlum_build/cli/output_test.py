from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from occlum_build.cli.output import (
    Progress,
    logs_operations,
    print_operation,
    print_problem,
    print_problems,
    print_usage_error,
    say,
    say_json,
)
from occlum_build.errors import ERROR, NOTE, WARNING, Place, Problem


def test_places_are_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in (f"{tmp_path}/d/f", f"{tmp_path}x/f", "/f", "f"):
        print_problem(Problem("c", "text", Place(file, 1, 2), "hint", severity=WARNING))
    print_problem(Problem("c", "text"))
    assert capsys.readouterr().err.splitlines() == [
        "warning: d/f:1:2: text",
        "  hint: hint",
        f"warning: {tmp_path}x/f:1:2: text",
        "  hint: hint",
        "warning: /f:1:2: text",
        "  hint: hint",
        "warning: f:1:2: text",
        "  hint: hint",
        "error: text",
    ]


def test_the_root_has_a_name_where_it_is_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/")
    for file in ("/", "/f"):
        print_problem(Problem("c", "text", Place(file)))
    assert capsys.readouterr().err == "error: /: text\nerror: f: text\n"


@pytest.mark.parametrize(
    ("level", "due"),
    [
        (None, False),
        ("", False),
        ("off", False),
        ("error", False),
        ("warn", False),
        ("info", True),
        ("INFO", True),
        ("debug", True),
        ("trace", True),
        ("nonsense", False),
    ],
)
def test_log_level(monkeypatch: pytest.MonkeyPatch, level: str | None, due: bool) -> None:
    if level is None:
        monkeypatch.delenv("OCCLUM_LOG_LEVEL", raising=False)
    else:
        monkeypatch.setenv("OCCLUM_LOG_LEVEL", level)
    assert logs_operations() is due


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("", "error warning note"),
        ("nonsense", "error warning note"),
        ("info", "error warning note"),
        ("warn", "error warning"),
        ("ERROR", "error"),
        ("off", "error"),
    ],
)
def test_the_log_level_says_what_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str, told: str
) -> None:
    monkeypatch.setenv("OCCLUM_LOG_LEVEL", level)
    problems = [Problem("c", "text", severity=one) for one in (ERROR, WARNING, NOTE, NOTE)]
    print_problems(problems)
    assert capsys.readouterr().err.splitlines() == [f"{one}: text" for one in told.split()]


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("copy", 1000)
    for amount in (0, 1, 499, 600):
        progress.advance(amount)
    progress.close()
    shown = terminal.getvalue().split("\r")
    assert shown[1:] == [
        f"copy [{'':30}]   0%",
        f"copy [{'#' * 15:30}]  50%",
        f"copy [{'#' * 30}] 100%",
        "\033[K",
    ]


def test_progress_elsewhere_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("copy", 0)
    progress.advance(5)
    progress.close()
    assert capsys.readouterr() == ("", "")


EVIL = "a\n\x1b[2J\u202e\x9b\udcff\x7f"
SHOWN = r"a\n\x1b[2J\u202e\x9b\xff\x7f"


def test_nothing_of_others_moves_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    say(EVIL)
    say_json({EVIL: "\u202eä"}, indent=1)
    print_operation(EVIL)
    print_usage_error("usage: x\n", "x", EVIL)
    print_problem(Problem("c", EVIL, Place(EVIL)))
    out, err = capsys.readouterr()
    first, _, rest = out.partition("\n")
    assert first == SHOWN
    assert rest.isascii() and json.loads(rest) == {EVIL: "\u202eä"}
    assert err.splitlines() == [
        f"INFO  {SHOWN}",
        "usage: x",
        f"x: error: {SHOWN}",
        f"error: {SHOWN}: {SHOWN}",
    ]


def test_only_the_printer_prints() -> None:
    """All else that writes to the streams would have to escape by itself."""
    printing = re.compile(r"\bprint\(|sys\.(stdout|stderr)\b")
    library = Path(__file__).parents[1]
    found = {
        str(path.relative_to(library))
        for path in library.rglob("*.py")
        if printing.search(path.read_text())
        and not path.name.startswith(("testing", "conftest"))
        and not path.name.endswith("_test.py")
    }
    assert found == {
        "checks/families/document.py",  # a text of its own
        "cli/occlum_command.py",  # flushes
        "cli/output.py",
        "elf/scan.py",  # a text of its own
        "occlum/seal_image.py",  # a text of its own
        "process/step.py",
        "run/case.py",  # what a test found: lines that are escaped as they are made
    }
