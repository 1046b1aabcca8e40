"""Runs a function in a root file system of its own, in which it can start programs.

Three processes: ours, which waits and passes signals on; one that leaves our namespaces; and the
first one of the new ones, pid 1 in them, which calls the function. When that ends, the kernel ends
whatever else runs there.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, NoReturn

from occlum_build.errors import OcclumError, Problem
from occlum_build.run import system
from occlum_build.run.channel import Channel, Detour
from occlum_build.run.descriptors import STREAMS, check_streams, close_others, pipe_above_streams
from occlum_build.run.folder import run_folder
from occlum_build.run.forbidden import cannot_run
from occlum_build.run.rootfs import make_root
from occlum_build.run.signals import (
    FirstProcess,
    await_child,
    between,
    hand_over,
    hold,
    ignored_signals,
    last,
    let_go,
    restore,
)
from occlum_build.run.spec import EXIT_NOT_STARTED, EXIT_SIGNAL, Program, RootSpec

CODE = "run"
_MOST_BYTES = 64 << 20  # that a function may tell
_NAMESPACES = system.NEW_MOUNTS | system.NEW_IPC | system.NEW_PIDS


class Inside:
    """What the function gets, to start programs with and to wait for them."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._relay = last()
        let_go(channel.held)
        self.ended: dict[int, int] = {}  # pid -> exit code of all that has ended

    def start(self, program: Program, streams: tuple[int, int, int] = STREAMS) -> int:
        """Start a program with three descriptors as its standard streams; its pid.

        One that cannot be executed ends with 127, and the run ends in an error that says why.
        """
        hold()
        gate, opener = os.pipe()
        try:
            pid = os.fork()
            if pid == 0:
                os.close(opener)
                os.read(gate, 1)  # its end
                self._become(program, streams)
            hand_over(pid)
            self._relay.is_started = True
        finally:
            os.close(gate)
            os.close(opener)
            let_go(self._channel.held)
        return pid

    def wait(self, pid: int) -> int:
        """The exit code of a program, 128 and the number of a signal that ended it."""
        self._relay.pass_to(pid)
        await_child(lambda: _has_ended(pid, self.ended))
        self._relay.stop()
        return self.ended[pid]

    def reap(self) -> bool:
        """Take the end of one process, if there is one."""
        return _reap(self.ended)

    def _become(self, program: Program, streams: tuple[int, int, int]) -> NoReturn:
        try:
            copies = [os.dup(one) for one in streams]
            for number, copy in enumerate(copies):
                os.dup2(copy, number)
            if program.memory_bytes is not None:
                _limit_memory(program.memory_bytes)
            restore(self._channel.ignored)
            let_go(self._channel.held)
            os.execve(program.args[0], program.args, _environment(program))
        except (OSError, ValueError, OverflowError, MemoryError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error) or "it has no memory"
            text = f"{program.args[0]} cannot be started: {why}"
            self._channel.tell(problem=Problem(CODE, text).to_json())
        finally:
            os._exit(EXIT_NOT_STARTED)


Body = Callable[[Inside], Any]


@dataclass(frozen=True)
class Outcome:
    """What the function returned, as JSON has it."""

    value: Any


def run_inside(
    spec: RootSpec, body: Body, *, kept: Sequence[int] = (), detour: Detour | None = None
) -> Outcome:
    """Call `body` in the root file system that `spec` describes, and in namespaces of its own.

    It runs in a process of its own and imports nothing: our files are not there. It has the
    descriptors `kept` and the standard streams. Raises OcclumError `run` where the machine forbids
    it, or a program cannot be executed.
    """
    check_streams()
    with run_folder() as folder:
        reading, writing = pipe_above_streams()
        with FirstProcess() as first:
            channel = Channel(writing, os.getpid(), ignored_signals(), hold())
            try:
                pid = os.fork()
                if pid == 0:
                    if detour is not None:
                        _take_detour(detour, spec, folder, channel)
                    _leave(spec, body, folder, channel, kept)
            finally:
                let_go(channel.held)
            os.close(writing)
            if detour is not None:
                detour.started(pid)
            first.relay.pass_to(pid)
            try:
                told = _read(first, reading)
            finally:
                os.close(reading)
                _, status = os.waitpid(pid, 0)
                first.relay.stop()
    return _outcome(told, _exit_code(status))


def run_program(spec: RootSpec, program: Program, detour: Detour | None = None) -> int:
    """Run one program with our standard streams; its exit code. Raises as run_inside."""
    body = _body_of(program)
    code: int = run_inside(spec, body, detour=detour).value
    return code


def take_over(
    spec: RootSpec, program: Program, folder: str, channel: Mapping[str, Any]
) -> NoReturn:
    """Go on as the second process of a run of one program, after a detour."""
    taken = Channel.from_json(channel)
    os.set_inheritable(taken.descriptor, False)
    _leave(spec, _body_of(program), folder, taken, ())


def _body_of(program: Program) -> Body:
    return lambda inside: inside.wait(inside.start(program))


def _take_detour(detour: Detour, spec: RootSpec, folder: str, channel: Channel) -> NoReturn:
    try:
        os.set_inheritable(channel.descriptor, True)
        detour.become(spec, folder, channel.to_json())
    except Exception as error:  # noqa: BLE001 - a process of its own, whose end nobody else tells
        channel.tell(problem=_problem(error))
    finally:
        os._exit(EXIT_NOT_STARTED)


def _leave(
    spec: RootSpec, body: Body, folder: str, channel: Channel, kept: Sequence[int]
) -> NoReturn:
    """The second process: it leaves the namespaces, and the third is the first of the new ones."""
    code = EXIT_NOT_STARTED
    try:
        gc.disable()  # or what is collected closes descriptors by numbers that are others'
        relay = between()
        close_others([channel.descriptor, *kept])
        _new_namespaces(spec)
        system.end_with_parent(channel.first)
        pid = os.fork()
        if pid == 0:
            _be_first(spec, body, folder, channel)
        let_go(channel.held)
        relay.pass_to(pid)
        ended: dict[int, int] = {}
        await_child(lambda: _has_ended(pid, ended))
        code = ended[pid]
    except Exception as error:  # noqa: BLE001 - a process of its own, whose end nobody else tells
        channel.tell(problem=_problem(error))
    finally:
        os._exit(code)


def _be_first(spec: RootSpec, body: Body, folder: str, channel: Channel) -> NoReturn:
    try:
        system.end_with_parent(0)  # which is outside
        system.forget_start()
        inside = Inside(channel)
        if not spec.has_network:
            system.start_loopback()
        make_root(spec, folder)
        system.give_up_rights()
        channel.tell(value=body(inside))
    except Exception as error:  # noqa: BLE001 - a process of its own, whose end nobody else tells
        channel.tell(problem=_problem(error))
    finally:
        os._exit(0)


def _problem(error: Exception) -> dict[str, Any]:
    if isinstance(error, OSError):
        return cannot_run(error).to_json()
    return Problem(CODE, f"it ended early: {error!r}").to_json()


def _new_namespaces(spec: RootSpec) -> None:
    wanted = _NAMESPACES | (0 if spec.has_network else system.NEW_NETWORK)
    user, group = os.geteuid(), os.getegid()
    try:
        system.unshare(wanted | system.NEW_USER)
    except OSError:
        if user != 0:
            raise
        system.unshare(wanted)  # where there are no user namespaces, root needs none
        return
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {user} 1"),
        ("gid_map", f"0 {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _environment(program: Program) -> Mapping[str, str]:
    return dict(one.partition("=")[::2] for one in program.env)


def _limit_memory(size: int) -> None:
    """Limit the address space, which may be limited already. Raises OSError, ValueError."""
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = min(size, sys.maxsize if most == resource.RLIM_INFINITY else most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _has_ended(pid: int, ended: dict[int, int]) -> bool:
    while _reap(ended):
        pass
    return pid in ended


def _reap(ended: dict[int, int]) -> bool:
    """Note the exit code of one child that has ended, if there is one."""
    try:
        found, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    if found:
        ended[found] = _exit_code(status)
    return bool(found)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else EXIT_SIGNAL - code


def _read(first: FirstProcess, channel: int) -> bytes:
    chunks, size = [], 0
    while chunk := first.read(channel):
        size += len(chunk)
        if size <= _MOST_BYTES:
            chunks.append(chunk)
    return b"".join(chunks)


def _outcome(told: bytes, code: int) -> Outcome:
    lines = [json.loads(line) for line in told.splitlines()]
    problems = [Problem.from_json(line["problem"]) for line in lines if "problem" in line]
    if problems:
        raise OcclumError.of(problems)
    for line in lines:
        if "value" in line:
            return Outcome(line["value"])
    raise OcclumError(CODE, f"the run was ended from outside (exit code {code})")
