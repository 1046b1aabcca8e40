"""What the CLI tells its user, on standard error: problems, operations, progress."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from occlum_build.errors import Problem

_LOG_LEVELS = ("off", "error", "warn", "info", "debug", "trace")


def print_problem(kind: str, problem: Problem) -> None:
    """One error or warning; its place is shown relative to the working directory when below it."""
    if problem.place:
        here = os.getcwd().rstrip("/") + "/"
        if problem.place.file.startswith(here):
            shown = problem.place.file[len(here) :]
            problem = replace(problem, place=replace(problem.place, file=shown))
    print(f"{kind}: {problem}", file=sys.stderr)


def logs_operations() -> bool:
    """Does OCCLUM_LOG_LEVEL ask for one line per operation?"""
    level = os.environ.get("OCCLUM_LOG_LEVEL", "error").strip().lower()
    return level in _LOG_LEVELS and _LOG_LEVELS.index(level) >= _LOG_LEVELS.index("info")


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
