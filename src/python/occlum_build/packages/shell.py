"""Which commands a maintainer script has, read and not run.

Variables, functions, and `for` over words are followed; both branches of an `if` and all of a
`case` count, as for a first installation. What only a run would tell is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from occlum_build.packages.shell_values import Argument, TooLong, Values, assigned
from occlum_build.packages.shell_words import OPAQUE, TEXT, Statement, Word, statements_of

MAX_SCRIPT_BYTES = 256 << 10
MAX_STEPS = 50_000  # statements that are followed
MAX_DEPTH = 40  # of loops and functions in one another
_SKIPPED = frozenset(["if", "then", "else", "elif", "do", "while", "until", "!", "{", "time"])
_OPENS, _CLOSES = frozenset(["if", "case", "while", "until"]), frozenset(["fi", "esac"])
_LOOPS = ("while", "until")
_DECLARES = frozenset(["export", "local", "readonly"])


class Command(NamedTuple):
    """A simple command: its words, None for each that cannot be told.

    `targets`: where its redirections lead, `sources`: where they come from; `depth`: in how many
    `if`, `case` and `while` it is.
    """

    words: tuple[Argument, ...]
    targets: tuple[Argument, ...] = ()
    line: int = 0
    depth: int = 0
    sources: tuple[Argument, ...] = ()

    @property
    def name(self) -> str:
        """The program without its directory; "" where it cannot be told."""
        return (self.words[0] or "").rpartition("/")[2]

    def __str__(self) -> str:
        return " ".join("..." if word is None else word for word in self.words)


class Follower:
    """Is told of what a script does."""

    def command(self, command: Command) -> None:
        """It runs a command."""

    def substituted(self, script: str, line: int, depth: int) -> None:
        """It assigns what a script in `$(...)` prints."""

    def subshell(self, begins: bool) -> None:
        """A subshell, `(...)`, begins or ends."""


class _Commands(Follower):
    def __init__(self) -> None:
        self.found: list[Command] = []

    def command(self, command: Command) -> None:
        self.found.append(command)


def commands_of(script: str, variables: Mapping[str, str]) -> list[Command]:
    """The commands in the order in which a first installation runs them. Raises TooLong."""
    commands = _Commands()
    follow(script, Values(variables, ("configure", "")), commands)
    return commands.found


def follow(script: str, values: Values, follower: Follower) -> None:
    """Tell the follower of all that the script does, in order. Raises TooLong."""
    if len(script) > MAX_SCRIPT_BYTES:
        raise TooLong
    _Run(statements_of(script), values, follower).run()


@dataclass
class _Frame:
    """A loop, with its variable and the values that are left, last first; or a call of a function.

    start: of a loop's body, or where a call goes on; a call keeps arguments and open braces of its
    caller. `while` is a loop that runs once.
    """

    start: int
    variable: str = ""
    values: list[Argument] = field(default_factory=list)
    function: str = ""
    braces: int = 0


class _Run:
    def __init__(self, statements: list[Statement], values: Values, follower: Follower) -> None:
        self._statements = statements
        self._at = 0
        self._values = values
        self._follower = follower
        self._functions: dict[str, int] = {}
        self._frames: list[_Frame] = []
        self._depth = 0  # of conditions
        self._braces = 0  # that are open in the function
        self._steps = MAX_STEPS

    def run(self) -> None:
        while self._at < len(self._statements):
            self._count_step()
            statement = self._statements[self._at]
            self._at += 1
            if statement.defines:
                self._define(statement.defines)
            elif statement.subshell:
                self._follower.subshell(statement.subshell == "(")
            else:
                self._follow(statement)

    def _follow(self, statement: Statement) -> None:
        words, start = statement.words, 0
        while (first := _keyword(words, start)) in _SKIPPED:
            self._depth += first in _OPENS
            self._braces += first == "{"
            if first in _LOOPS:
                self._push(_Frame(self._at))
            start += 1
        words = words[start:]
        if first in _CLOSES:
            self._depth = max(0, self._depth - 1)
        elif first == "case":
            self._depth += 1
        elif first == "for":
            self._begin_loop(words)
        elif first == "done":
            self._end_loop()
        elif first == "}":
            self._braces -= 1
            self._return()
        elif words:
            self._command(words, statement)

    def _command(self, words: tuple[Word, ...], statement: Statement) -> None:
        start = is_declared = int(_keyword(words) in _DECLARES)
        while start < len(words) and ((name := assigned(words[start])) or is_declared):
            if name:
                for piece in words[start]:
                    if piece.kind == OPAQUE and piece.text:
                        self._follower.substituted(piece.text, statement.line, self._depth)
                self._values.assign(name, words[start], self._at, not self._depth)
            start += 1
        found = tuple(one for word in words[start:] for one in self._values.expanded(word))
        if not found:
            return
        name = found[0] or ""
        if name == "unset":
            for one in found[1:]:
                self._values.unset(one or "")
        elif name == "read":
            for one in found[1:]:
                self._values.put(one or "", None)
        elif name == "shift":
            self._values.arguments = self._values.arguments[1:]
        elif name in self._functions and all(one.function != name for one in self._frames):
            self._push(_Frame(self._at, "", self._values.arguments, name, self._braces))
            self._values.arguments, self._braces = list(found[1:]), 0
            self._at = self._functions[name]
        else:
            targets, sources = (
                tuple(one for word in words for one in self._values.expanded(word))
                for words in (statement.targets, statement.sources)
            )
            command = Command(found, targets, statement.line, self._depth, sources)
            self._follower.command(command)

    def _begin_loop(self, words: tuple[Word, ...]) -> None:
        variable = _keyword(words, 1)
        values: list[Argument] = [None]
        if _keyword(words, 2) == "in":
            values = [one for word in words[3:] for one in self._values.expanded(word)]
        if not values:
            self._skip_loop()
            return
        self._push(_Frame(self._at, variable, values[:0:-1]))
        self._values.put(variable, values[0])

    def _end_loop(self) -> None:
        if not self._frames or self._frames[-1].function:
            return
        frame = self._frames[-1]
        if frame.values:
            self._values.put(frame.variable, frame.values.pop())
            self._at = frame.start
            return
        self._frames.pop()
        if not frame.variable:
            self._depth = max(0, self._depth - 1)

    def _push(self, frame: _Frame) -> None:
        if len(self._frames) == MAX_DEPTH:
            raise TooLong
        self._frames.append(frame)

    def _skip_loop(self) -> None:
        depth = 1
        while depth and self._at < len(self._statements):
            self._count_step()
            names = self._names(self._at)
            depth += sum(name in ("for", "while", "until") for name in names)
            depth -= names[-1:] == ["done"]
            self._at += 1

    def _define(self, name: str) -> None:
        """Remember where a function begins, and go on behind its end."""
        if self._names(self._at)[:1] != ["{"]:
            return
        self._functions[name] = self._at
        depth = 0
        while self._at < len(self._statements):
            self._count_step()
            names = self._names(self._at)
            depth += names.count("{") - names.count("}")
            self._at += 1
            if not depth:
                return

    def _return(self) -> None:
        """At the end of a function, with the loops that are open in it."""
        if self._braces > 0 or not any(frame.function for frame in self._frames):
            return
        frame = self._frames.pop()
        while not frame.function:
            frame = self._frames.pop()
        self._at, self._values.arguments, self._braces = frame.start, frame.values, frame.braces

    def _names(self, at: int) -> list[str]:
        """The reserved words at the beginning of a statement, and the word after them."""
        names: list[str] = []
        words = self._statements[at].words if at < len(self._statements) else ()
        for at_word in range(len(words)):
            names.append(_keyword(words, at_word))
            if names[-1] not in _SKIPPED:
                break
        return names

    def _count_step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise TooLong


def _keyword(words: tuple[Word, ...], at: int = 0) -> str:
    """The word at a place where it is nothing but text, else ""."""
    if at >= len(words) or any(piece.kind != TEXT for piece in words[at]):
        return ""
    return "".join(piece.text for piece in words[at])
