"""What a `#!` line starts that the image does not have."""

from __future__ import annotations

import posixpath
from typing import Callable

from occlum_build.errors import Problem
from occlum_build.image.tree import ImageTree

ENV = "env"
PROGRAM_DIRECTORIES = ("bin", "sbin")
SEARCHED = ("/usr/local/bin", "/usr/bin", "/bin")


def interpreter_problem(path: str, line: str, tree: ImageTree) -> Problem | None:
    """What is wrong (code "interpreter") with the `#!` line of the file at a path of the image.

    The line is given without `#!`. Only what it starts is looked for, not the arguments.
    """
    lacking = lacking_program(line, lambda program: _is_program(program, tree))
    return lacking_interpreter(f"/{path} starts", line, lacking, f"/{path}") if lacking else None


def lacking_interpreter(who: str, line: str, lacking: str, script: str) -> Problem:
    """The problem of scripts, `who` with the verb `start`, whose `#!` line lacks something."""
    return Problem(
        "interpreter",
        f"{who} with `#!{line}`, but the image has no program {lacking}",
        hint=f"copy the interpreter into the image by the BOM, or start {script} as an argument of "
        "one that is there",
    )


def lacking_program(line: str, is_program: Callable[[str], bool]) -> str:
    """The program that a `#!` line starts, also by `env`, and that is none; "" for nothing.

    `is_program` tells it of an absolute path in the image.
    """
    words = line.split()
    if not words:
        return ""
    if not (words[0].startswith("/") and is_program(words[0])):
        return words[0]
    return _lacking_for_env(words[1:], is_program) if posixpath.basename(words[0]) == ENV else ""


def _lacking_for_env(arguments: list[str], is_program: Callable[[str], bool]) -> str:
    """What `env` would not find, "" for nothing; options and variables come before the program."""
    programs = [one for one in arguments if not one.startswith("-") and "=" not in one]
    if not programs:
        return ""
    name = programs[0]
    if "/" in name:
        return "" if name.startswith("/") and is_program(name) else name
    if any(is_program(f"{directory}/{name}") for directory in SEARCHED):
        return ""
    return f"{name} in {', '.join(SEARCHED[:-1])} or {SEARCHED[-1]}"


def _is_program(path: str, tree: ImageTree) -> bool:
    real = tree.real_file(path.lstrip("/"))
    stat = tree.lstat(real) if real is not None else None
    return stat is not None and bool(stat.mode & 0o111)
