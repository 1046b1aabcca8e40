"""The one printer of the CLI: results on standard output; problems, operations, progress on error.

Whatever it prints is one line a call, in which nothing that others wrote can move the cursor.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TextIO

from occlum_build.errors import ERROR, NOTE, WARNING, Problem, first_told
from occlum_build.shown import escaped, shorter, with_bytes

_LOG_LEVELS = ("off", "error", "warn", "info", "debug", "trace")
_NOT_PRINTED = re.compile("[^\n -~]+")
_LEVEL_OF = {WARNING: "warn", NOTE: "info"}


def open_streams() -> None:
    """See to it that both streams are there and take every text, whatever the locale.

    In place of a closed one something is opened, so that no file of ours gets its number: for a
    result nothing that can be written, as whoever asked for it is to know that it was lost.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _discard(number, os.O_RDWR if number == 2 else os.O_RDONLY)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller
            stream = io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8")
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def close_streams() -> bool:
    """Write what is left to both streams, or drop it; says whether standard output took all.

    Python would do so at its end, and change the exit code where it cannot.
    """
    _flush(sys.stderr)
    return _flush(sys.stdout)


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """An OSError of the body, which writes there, says so."""
    try:
        yield
    except OSError as error:
        error.filename = "standard output"
        raise


def say(text: str) -> None:
    """One line of a result, on standard output. May raise OSError."""
    with standard_output():
        print(escaped(text))


def say_bytes(data: bytes) -> None:
    """A part of a result as it is, on standard output. May raise OSError."""
    with standard_output():
        sys.stdout.buffer.write(data)


def say_document(data: bytes) -> None:
    """A JSON document on standard output: as it is but for escapes in place of what is not ASCII.

    May raise OSError.
    """
    import json

    text = _NOT_PRINTED.sub(lambda match: json.dumps(match[0])[1:-1], data.decode())
    with standard_output():
        sys.stdout.write(text)


def flush_output() -> None:
    """Write what is left to standard output. May raise OSError."""
    with standard_output():
        sys.stdout.flush()


def say_json(value: Any, indent: int) -> None:
    """A result as JSON, on standard output: in ASCII, which no terminal and no locale changes."""
    import json

    with standard_output():
        print(json.dumps(value, indent=indent, sort_keys=True))


def print_operation(text: str) -> None:
    """One line of a log, on standard error."""
    _tell(f"INFO  {escaped(text)}\n")


def say_aside(text: str) -> None:
    """One line of a result, on standard error, where standard output is that of a program."""
    _tell(f"{escaped(text)}\n")


def print_usage_error(usage: str, program: str, message: str) -> None:
    """What argparse found: messages of its own repeat arguments as they are."""
    _tell(f"{usage}{program}: error: {escaped(shorter(with_bytes(message)))}\n")


def print_problem(problem: Problem) -> None:
    """One problem, if OCCLUM_LOG_LEVEL asks for its kind; errors are always told.

    Its place is shown relative to the working directory when below it.
    """
    text = _told(problem)
    if text:
        _tell(text)


def _told(problem: Problem) -> str:
    if not _is_told(problem.severity):
        return ""
    here, place = working_directory(), problem.place
    if here and place and place.file.startswith(here) and place.file != here:
        problem = replace(problem, place=replace(place, file=place.file[len(here) :]))
    return f"{problem.severity}: {problem}\n"


def told_text(problems: Iterable[Problem]) -> str:
    """What `print_problems` prints."""
    return "".join(map(_told, first_told(problems)))


def print_problems(problems: Iterable[Problem]) -> None:
    """Each of them once; of very many the first, and how many more."""
    for problem in first_told(problems):
        print_problem(problem)


def working_directory() -> str:
    """With a slash at its end; "" where it has gone."""
    try:
        return os.getcwd().rstrip("/") + "/"
    except OSError:
        return ""


def _tell(text: str) -> None:
    """Write to standard error; what it does not take is lost, as nobody could be told of that."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):  # full, a pipe that nobody reads, closed
        _flush(sys.stderr)


def _flush(stream: TextIO) -> bool:
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            _discard(stream.fileno())
            stream.flush()
        return False
    return True


def _discard(number: int, flags: int = os.O_RDWR) -> None:
    """Have a file descriptor lead to nowhere."""
    nowhere = os.open(os.devnull, flags)
    if nowhere == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(nowhere, number)
        os.close(nowhere)


def add_allow_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow",
        metavar="CODE",
        action="append",
        default=[],
        help="do not tell of what a check finds (docs/checks.md); can be given more than once",
    )


def logs_operations() -> bool:
    """Does OCCLUM_LOG_LEVEL ask for one line per operation?"""
    return _log_level() >= _LOG_LEVELS.index("info")


def _log_level() -> int:
    """The place in _LOG_LEVELS of what OCCLUM_LOG_LEVEL says; -1 where it says none of them."""
    level = os.environ.get("OCCLUM_LOG_LEVEL", "").strip().lower()
    return _LOG_LEVELS.index(level) if level in _LOG_LEVELS else -1


def _is_told(severity: str) -> bool:
    """Without a level, everything is."""
    level = _log_level()
    return severity == ERROR or level < 0 or level >= _LOG_LEVELS.index(_LEVEL_OF[severity])


class Progress:
    """A bar on a terminal for work that takes a while; silent elsewhere."""

    _WIDTH = 30

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = max(total, 1)
        self.done = 0
        self.shown = -1
        self.active = sys.stderr.isatty()

    def advance(self, amount: int) -> None:
        self.done += amount
        percent = min(100, 100 * self.done // self.total)
        if self.active and percent != self.shown:
            self.shown = percent
            bar = "#" * (self._WIDTH * percent // 100)
            _tell(f"\r{escaped(self.label)} [{bar:<{self._WIDTH}}] {percent:3d}%")

    def close(self) -> None:
        if self.active and self.shown >= 0:
            _tell("\r\033[K")
