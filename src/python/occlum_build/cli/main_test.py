from __future__ import annotations

import argparse
import weakref
from pathlib import Path
from typing import Any, NoReturn

import pytest

from occlum_build.cli import copy_bom, main
from occlum_build.errors import OcclumError, Place, Problem
from occlum_build.version import VERSION


def _run(monkeypatch: pytest.MonkeyPatch, error: BaseException | None, **defaults: int) -> int:
    """The exit code of a verb that raises."""

    def func(options: argparse.Namespace) -> None:
        if error is not None:
            raise error

    def add_parser(verbs: Any) -> None:
        verbs.add_parser("copy-bom").set_defaults(func=func, **defaults)

    monkeypatch.setattr(copy_bom, "add_parser", add_parser)
    return main.main(["copy-bom"])


@pytest.mark.parametrize(
    ("code", "due"),
    [
        ("bom-missing", 255),
        ("hash-missing", 255),
        ("file", 254),
        ("bom-invalid", 253),
        ("directory", 252),
        ("link", 251),
        ("hash", 249),
        ("libraries", 248),
        ("write", 1),
        ("any other", 1),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str, due: int
) -> None:
    problems = [Problem(code, "first", Place("/f", 1)), Problem("file", "second", hint="do it")]
    assert _run(monkeypatch, OcclumError.of(problems)) == due
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: /f:1: first\nerror: second\n  hint: do it\n"


def test_success(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, None) == 0


def test_interrupt_and_broken_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, KeyboardInterrupt()) == 130
    assert _run(monkeypatch, BrokenPipeError()) == 1


@pytest.mark.parametrize(
    "error", [OcclumError("file", "x"), BrokenPipeError(), OSError(28, "x"), MemoryError()]
)
def test_the_exit_code_of_trouble_where_1_has_a_meaning(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    assert _run(monkeypatch, error, exit_failure=2) == 2


def test_errors_of_the_system(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, PermissionError(13, "Permission denied", "/f")) == 1
    assert _run(monkeypatch, OSError(28, "No space left on device")) == 1
    err = capsys.readouterr().err
    assert err == "error: /f: Permission denied\nerror: No space left on device\n"


def test_what_a_run_held_has_gone_when_memory_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        """Stands for a plan."""

    held: list[weakref.ref[Held]] = []
    seen: list[tuple[str, object]] = []

    class Full:
        def run(self) -> NoReturn:
            plan = Held()
            held.append(weakref.ref(plan))
            raise MemoryError

    monkeypatch.setattr(main, "print_problem", lambda one: seen.append((one.message, held[0]())))
    monkeypatch.setattr(main, "_run", lambda *_: Full().run())
    assert main.main(["copy-bom"]) == 1
    assert seen == [("there is not enough memory", None)]


@pytest.mark.parametrize(
    "arguments", [[], ["no-such-verb"], ["--no-such-option"], ["show", "a\0"], ["show", "\ud800"]]
)
def test_usage_errors(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    assert caught.value.code == 2
    assert "usage: occlum-build" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"occlum-build {VERSION}\n"


def test_only_commands_know_the_version() -> None:
    """What runs as a process has its sources in its key, which a version must not change."""
    library = Path(main.__file__).parents[1]
    knowing = [
        path.relative_to(library).parts[0]
        for path in library.rglob("*.py")
        if "occlum_build.version" in path.read_text() or "import version" in path.read_text()
    ]
    assert set(knowing) == {"cli"}


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in main.VERBS)
