"""How goals print: what others wrote cannot move the cursor."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pants.engine.console import Console

from occlum_build.errors import Problem
from occlum_build.shown import escaped


def print_lines(console: Console, lines: Iterable[str]) -> None:
    for line in lines:
        console.print_stdout(escaped(line))


def print_json(console: Console, value: Any) -> None:
    """As the command line does: in ASCII, which no terminal changes."""
    console.print_stdout(json.dumps(value, indent=1, sort_keys=True))


def print_problems(console: Console, problems: Iterable[Problem]) -> None:
    for problem in problems:
        console.print_stderr(f"{problem.severity}: {problem}")
