"""Whether an image has the interpreter that a `#!` line names."""

from __future__ import annotations

import posixpath

from occlum_build.errors import OcclumError, Problem
from occlum_build.image.entries import FILE
from occlum_build.image.tree import ImageTree

ENV = "env"
SEARCHED = ("/usr/local/bin", "/usr/bin", "/bin")


def interpreter_problem(path: str, line: str, tree: ImageTree) -> Problem | None:
    """What is wrong (code "interpreter") with the `#!` line of the file at a path of the image.

    The line is given without `#!`. Only what it starts is looked for, not the arguments.
    """
    words = line.split()
    if not words:
        return None
    lacking = "" if _is_program(words[0], tree) else words[0]
    if not lacking and posixpath.basename(words[0]) == ENV:
        lacking = _lacking_for_env(words[1:], tree)
    if not lacking:
        return None
    return Problem(
        "interpreter",
        f"/{path} starts with `#!{line}`, but the image has no program {lacking}",
        hint=f"copy the interpreter into the image by the BOM, or start /{path} as an argument of "
        "one that is there",
    )


def _lacking_for_env(arguments: list[str], tree: ImageTree) -> str:
    """What `env` would not find, "" for nothing; options and variables come before the program."""
    programs = [one for one in arguments if not one.startswith("-") and "=" not in one]
    if not programs:
        return ""
    name = programs[0]
    if "/" in name:
        return "" if _is_program(name, tree) else name
    if any(_is_program(f"{directory}/{name}", tree) for directory in SEARCHED):
        return ""
    return f"{name} in {', '.join(SEARCHED[:-1])} or {SEARCHED[-1]}"


def _is_program(path: str, tree: ImageTree) -> bool:
    try:
        real = tree.locate(path.lstrip("/"), follow_last=True)
    except OcclumError:  # a loop of links, which leads to no program
        return False
    stat = tree.lstat(real)
    return (
        path.startswith("/") and stat is not None and stat.kind == FILE and bool(stat.mode & 0o111)
    )
