"""What the CLI tells its user, on standard error: problems, operations, progress."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from dataclasses import replace

from occlum_build.errors import ERROR, NOTE, WARNING, Problem

_LOG_LEVELS = ("off", "error", "warn", "info", "debug", "trace")
_LEVEL_OF = {WARNING: "warn", NOTE: "info"}


def print_problem(problem: Problem) -> None:
    """One problem, if OCCLUM_LOG_LEVEL asks for its kind; errors are always told.

    Its place is shown relative to the working directory when below it.
    """
    if not _is_told(problem.severity):
        return
    if problem.place:
        here = os.getcwd().rstrip("/") + "/"
        if problem.place.file.startswith(here) and problem.place.file != here:
            shown = problem.place.file[len(here) :]
            problem = replace(problem, place=replace(problem.place, file=shown))
    print(f"{problem.severity}: {problem}", file=sys.stderr)


def print_problems(problems: Iterable[Problem]) -> None:
    """Each of them once."""
    for problem in dict.fromkeys(problems):
        print_problem(problem)


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
            print(f"\r{self.label} [{bar:<{self._WIDTH}}] {percent:3d}%", end="", file=sys.stderr)

    def close(self) -> None:
        if self.active and self.shown >= 0:
            print("\r\033[K", end="", file=sys.stderr)
