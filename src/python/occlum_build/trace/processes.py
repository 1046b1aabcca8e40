"""Which program asked for what: processes by what they execute, with their working directories."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from occlum_build.trace.calls import END, ENTER, EXEC, START, Event

_MOST_WAITING = 100_000  # events of processes of which it is not known yet who started them


class Ask(NamedTuple):
    """A program, by its path, asked for an absolute path; `is_found` tells whether it was there."""

    path: str
    by: str
    kind: str
    is_found: bool


@dataclass
class _Process:
    """`program` is "" as long as a process is one of ours."""

    program: str = ""
    folder: str = "/"


class Processes:
    """Follows processes from ours on: what they ask for counts when they have executed a program.

    `first` is ours: what it executes is not the program of a run, which `program` is the path of.
    """

    def __init__(self, first: int, program: str) -> None:
        self._first, self._program = first, program
        self._processes = {first: _Process()}
        self._waiting: dict[int, list[Event]] = {}
        self._number_waiting = 0
        self.is_incomplete = False

    def asks(self, event: Event) -> Iterator[Ask]:
        """What an event, and what waited for it, tells."""
        pending = [event]
        while pending:
            one = pending.pop()
            process = self._processes.get(one.pid)
            if process is None and one.kind == EXEC and not one.path:
                # It comes of one of ours, which strace cannot look into for an ordinary user: nor
                # could it tell the number that the new process has outside.
                self._number_waiting -= len(self._waiting.pop(one.pid, []))
                process = self._processes[one.pid] = _Process()
            if process is None:  # its first call may be told before that it was started
                self._wait(one)
            elif one.kind == END:
                del self._processes[one.pid]
            elif one.kind == START:
                pid, is_thread = int(one.path), one.is_found
                new = process if is_thread else _Process(process.program, process.folder)
                self._processes[pid] = new
                waiting = self._waiting.pop(pid, [])
                self._number_waiting -= len(waiting)
                pending += waiting[::-1]
            else:
                yield from self._asked(one, process)

    def _asked(self, event: Event, process: _Process) -> Iterator[Ask]:
        if event.base and not event.base.startswith("/"):  # relative to what is no directory
            return
        named = event.path or (self._program if not process.program else "")
        if not named:
            return
        path = _plain(posixpath.join(process.folder, event.base, named))
        if event.kind == EXEC and event.pid != self._first:
            yield Ask(path, process.program or path, EXEC, event.is_found)
            if event.is_found:
                process.program = path
        elif process.program:
            yield Ask(path, process.program, event.kind, event.is_found)
            if event.kind == ENTER and event.is_found:
                process.folder = path

    def _wait(self, event: Event) -> None:
        if self._number_waiting >= _MOST_WAITING:
            self.is_incomplete = True
            return
        self._number_waiting += 1
        self._waiting.setdefault(event.pid, []).append(event)


def _plain(path: str) -> str:
    """Without what makes no difference; `..` does, after a link."""
    path = "/" + path.lstrip("/")
    return path if ".." in path else posixpath.normpath(path)
