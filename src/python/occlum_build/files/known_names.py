"""Errors that name what a user knows, and not the temporary path at which that was made."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from occlum_build.errors import OcclumError, Problem
from occlum_build.files.prefix import PREFIX


class KnownNames:
    """Temporary paths, each with the place that what is made there is for."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def add(self, path: Path, target: Path) -> None:
        """What is below `path` is told as what is below `target`."""
        self._known[str(path)] = str(target)

    def tell(self, error: BaseException) -> None:
        """Change an OSError or OcclumError where it names a temporary path."""
        if isinstance(error, OcclumError):
            error.problems, error.told = (
                tuple(map(self._problem, found)) for found in (error.problems, error.told)
            )
            error.args = tuple(self._text(one) for one in error.args)
        elif isinstance(error, OSError) and error.filename is not None:
            error.filename = self._text(_name(error.filename))
            if error.filename2 is not None:
                error.filename2 = self._text(_name(error.filename2))

    def _problem(self, problem: Problem) -> Problem:
        place, message, hint = problem.place, problem.message, problem.hint
        if place is not None and PREFIX in place.file:
            place = replace(place, file=self._text(place.file))
        if PREFIX in message or PREFIX in hint:
            message, hint = self._text(message), self._text(hint)
        return replace(problem, place=place, message=message, hint=hint)

    def _text(self, text: str) -> str:
        if PREFIX in text:
            for path in sorted(self._known, key=len, reverse=True):
                text = text.replace(path, self._known[path])
        return text


def _name(name: object) -> str:
    return os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else str(name)
