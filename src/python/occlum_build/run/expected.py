"""Compares what a program did with what a test expects of it, for people to read."""

from __future__ import annotations

import difflib
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from occlum_build.run.spec import EXIT_SIGNAL
from occlum_build.shown import escaped

PATTERN = "re:"  # before a regular expression that is to be found somewhere in a text
_MOST_LINES = 400  # that are compared and shown of a text
_PATTERN_SECONDS = 60  # in which a pattern is looked for
_NO_END = "(no line end)"


@dataclass(frozen=True)
class Expected:
    """Texts as they are, or with PATTERN before them; None is not compared. Files by path."""

    exit: int = 0
    stdout: str | None = None
    stderr: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """What came out; a file of None is not there. `exit` of None: it did not end in time."""

    exit: int | None
    stdout: str
    stderr: str
    files: Mapping[str, str | None] = field(default_factory=dict)


def differences(expected: Expected, found: Found) -> list[str]:
    """Lines that tell what is not as expected; none where all is."""
    lines: list[str] = []
    if found.exit is not None and found.exit != expected.exit:
        lines.append(f"exit code: expected {expected.exit}, found {_exit(found.exit)}")
    for name, wanted, real in (
        ("standard output", expected.stdout, found.stdout),
        ("standard error", expected.stderr, found.stderr),
    ):
        if wanted is not None:
            lines += _compare(name, wanted, real)
    for path, wanted in sorted(expected.files.items()):
        content = found.files.get(path)
        if content is None:
            lines.append(f"{escaped(path)}: expected a file, found none")
        else:
            lines += _compare(path, wanted, content)
    if lines:
        shown = (
            ("standard output", expected.stdout, found.stdout),
            ("standard error", expected.stderr, found.stderr),
        )
        for name, compared, real in shown:
            if compared is None and real:
                lines += quoted(name, real)
    return lines


def quoted(name: str, text: str) -> list[str]:
    """A text under its name, indented."""
    return [f"{escaped(name)}:", *(f"  {line}" for line in _lines(text))]


def pattern_problem(text: str) -> str:
    """What is wrong with a text that begins with PATTERN, "" where nothing is."""
    if not text.startswith(PATTERN):
        return ""
    try:
        re.compile(text[len(PATTERN) :])
    except re.error as error:
        return f"{text} is no regular expression: {error}"
    return ""


def _compare(name: str, wanted: str, real: str) -> Iterator[str]:
    if wanted.startswith(PATTERN):
        pattern = wanted[len(PATTERN) :]
        why = _no_match(pattern, real)
        if why:
            yield f"{escaped(name)}: {why} {escaped(pattern)}"
            yield from quoted(name, real)
    elif wanted != real:
        yield from difflib.unified_diff(
            _lines(wanted),
            _lines(real),
            f"{escaped(name)} (expected)",
            f"{escaped(name)} (found)",
            lineterm="",
        )


def _no_match(pattern: str, text: str) -> str:
    """Why a pattern is not found; "" where it is. It is looked for in the main thread."""
    before = signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, _PATTERN_SECONDS)
    try:
        return "" if re.search(pattern, text, re.MULTILINE) else "nothing matches"
    except _TooLateError:
        return f"in {_PATTERN_SECONDS} s it was not found out whether anything matches"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class _TooLateError(Exception):
    """A pattern takes time that grows with each character, as ^(0+)+$ does."""


def _too_late(_number: int, _frame: object) -> None:
    raise _TooLateError


def _lines(text: str) -> list[str]:
    """The lines of a text, as many as are shown; what has no line end says so."""
    lines = text.split("\n")
    end = lines.pop()
    lines += [f"{end} {_NO_END}"] if end else []
    more = len(lines) - _MOST_LINES
    shown = [escaped(line) for line in lines[:_MOST_LINES]]
    return [*shown, f"({more:,} more lines)"] if more > 0 else shown


def _exit(code: int) -> str:
    return f"{code} (ended by signal {code - EXIT_SIGNAL})" if code > EXIT_SIGNAL else str(code)
