"""The libraries of one program, as its loader would find them: what a closure is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import Interpreter
from occlum_build.elf.lookup import Tried
from occlum_build.errors import Problem
from occlum_build.shown import Lines, shown_chain

ALREADY_LOADED = "already loaded"  # the rule of an edge that made no search


class Node(NamedTuple):
    """A program or library of a closure.

    `path` is the source path by which it was found, `real` the source path of its content,
    `image_path` its place in the image. `provided` ones are in the image already.
    """

    path: str
    real: str
    image_path: str
    facts: ElfFacts | None
    provided: bool = False


class Edge(NamedTuple):  # a tuple, because an image may have a million
    """`needer` (a Node.path) needs a library by a name; it was found by the rule at `path`.

    Two edges to one library (Node.real) may have different paths, when links give it two names.
    `rule` is ALREADY_LOADED where the loader did not search again; `moved` where the image's loader
    will not know the rule, so that `image_path` is in a directory that it searches by itself.
    """

    needer: str
    name: str
    path: str
    real: str
    image_path: str
    rule: str
    moved: bool = False


class Missing(NamedTuple):
    """A library that was not found: the chain of paths that led to it, and what was tried.

    `more` tells how many directories were searched besides; `has_other`, whether a file of the name
    that is no library was passed over.
    """

    name: str
    chain: tuple[str, ...]  # from the program to the object that needs it
    tried: tuple[Tried, ...]
    hint: str = ""
    more: int = 0
    has_other: bool = False

    def problem(self) -> Problem:
        """The error, code "libraries"."""
        return Problem("libraries", self.text(), hint=self.hint)

    def text(self) -> Lines:
        """What is missing, a line of the chain, and the numbered list of paths."""
        lines = [f"{self.chain[0]}: library {self.name} is missing"]
        lines.append(f"  needed by: {shown_chain(self.chain)}")
        if self.tried:
            lines.append("  searched:")
            lines += [f"  {n:3}. {one}" for n, one in enumerate(self.tried, start=1)]
        if self.more > 0:
            more = f"and in {self.more:,} more" if self.tried else f"searched in {self.more:,}"
            lines.append(f"  {more} director{'y' if self.more == 1 else 'ies'}")
        return Lines(*lines)


class Lacking(NamedTuple):
    """Symbol versions that `needer` needs of a library (Node.path) which does not define them.

    `is_fatal`: the loader gives up. Without versions of its own a library is loaded all the same.
    """

    library: str
    versions: tuple[str, ...]
    needer: str
    is_fatal: bool


_P = TypeVar("_P")


def group_lacking(found: Iterable[tuple[_P, Lacking]]) -> list[tuple[_P, list[Lacking]]]:
    """What one library lacks together, each with the first of its places."""
    grouped: dict[tuple[str, bool], tuple[_P, list[Lacking]]] = {}
    for place, lack in found:
        grouped.setdefault((lack.library, lack.is_fatal), (place, []))[1].append(lack)
    return list(grouped.values())


class Closure(NamedTuple):
    """All that one program needs, in the order in which its loader loads it.

    `libraries` does not hold the program and the interpreter.
    """

    program: Node
    interpreter: Interpreter | None = None
    libraries: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    missing: tuple[Missing, ...] = ()
    problems: tuple[Problem, ...] = ()
    lacking: tuple[Lacking, ...] = ()

    def errors(self) -> tuple[Problem, ...]:
        """Every error of the program: of its interpreter, its libraries and their places."""
        return (*self.problems, *(one.problem() for one in self.missing))
