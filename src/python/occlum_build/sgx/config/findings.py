"""What is found in one document: errors and warnings by JSON path, each with line and column."""

from __future__ import annotations

import re
from typing import Union

from occlum_build.errors import Place, Problem, Report
from occlum_build.sgx.config.jsontext import Array, Node, Object

Path = tuple[Union[str, int], ...]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SHOWN = 60


def shown(text: str) -> str:
    """A text of the user in quotes, cut when long, its unprintable characters escaped."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def path_text(path: Path) -> str:
    """The path in JSONPath's notation: `$.mount[0].options`, `$.env['a b']`."""
    parts = ["$"]
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        else:
            parts.append(f".{step}" if _NAME.fullmatch(step) else f"[{shown(step)}]")
    return "".join(parts)


class Findings:
    """Collects all problems of one document. With `strict` a warning is an error, a note is not."""

    def __init__(self, document: Node, *, strict: bool = False) -> None:
        self._document = document
        self._strict = strict
        self._report = Report()
        self._bad: set[Path] = set()

    def error(
        self,
        code: str,
        path: Path,
        message: str,
        hint: str = "",
        *,
        place: Place | None = None,
        spoils: bool = True,
    ) -> None:
        """The value at `path` is a mistake, told unless it or what it is in is spoilt already.

        `place`: where that is not the value itself. `spoils`: the value has no meaning now, so that
        nothing more is said about it.
        """
        if self.usable(path):
            self._report.error(
                code, f"{path_text(path)}: {message}", place or place_of(self._document, path), hint
            )
        if spoils:
            self._bad.add(path)

    def warn(
        self, code: str, path: Path, message: str, hint: str = "", *, place: Place | None = None
    ) -> None:
        """Occlum's own tool takes this, but it is ignored or fails later."""
        if self.usable(path):
            text, where = f"{path_text(path)}: {message}", place or place_of(self._document, path)
            if self._strict:
                self._report.error(code, text, where, hint)
            else:
                self._report.warn(code, text, where, hint)

    def note(self, code: str, path: Path, message: str, hint: str = "") -> None:
        """The value is right as it is, and has less of an effect than it may seem."""
        if self.usable(path):
            where = place_of(self._document, path)
            self._report.note(code, f"{path_text(path)}: {message}", where, hint)

    def usable(self, *paths: Path) -> bool:
        """Whether no error has spoilt these values or what they are in."""
        return not any(path[:end] in self._bad for path in paths for end in range(len(path) + 1))

    def finish(self) -> tuple[Problem, ...]:
        """The warnings in order of place; raises one OcclumError of all errors if there are any."""
        self._report.errors.sort(key=_order)
        self._report.warnings.sort(key=_order)
        self._report.raise_errors()
        return tuple(self._report.warnings)


def place_of(document: Node, path: Path) -> Place:
    """Where a value stands; for a missing one, the innermost container there is."""
    node = document
    for step in path:
        child: Node | None = None
        if isinstance(node, Object) and isinstance(step, str):
            child = node.get(step)
        elif isinstance(node, Array) and isinstance(step, int) and step < len(node.items):
            child = node.items[step]
        if child is None:
            break
        node = child
    return node.place


def _order(problem: Problem) -> tuple[Place, str]:
    return problem.place or Place(""), problem.message
