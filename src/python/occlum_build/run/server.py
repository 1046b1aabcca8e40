"""What runs in the image for one test: services, and a program when they are ready.

All of it is called in a root file system where our files are not: nothing is imported later on.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MIB
from occlum_build.files.reading import read_start
from occlum_build.run.inside import Inside
from occlum_build.run.spec import Program

MOST_BYTES = 1 * MIB  # of a text that is compared
_CUT = "(the rest, after 1 MiB, is not compared)"
_PAUSE_SECONDS = 0.01
_CONNECT_SECONDS = 1.0  # a service that does not accept is not ready
_SERVICES_SECONDS = 60  # in which services become ready where a test has no timeout

Streams = tuple[int, int, int]


@dataclass(frozen=True)
class Plan:
    """Programs with the descriptors that are their standard streams.

    `timeout` is for everything, in seconds; `files` are read when the program has ended.
    """

    program: tuple[Program, Streams]
    services: tuple[tuple[Program, Streams], ...] = ()
    wait_for: tuple[str, ...] = ()
    timeout: float | None = None
    files: tuple[str, ...] = ()


def serve(inside: Inside, plan: Plan) -> dict[str, Any]:
    """Run it all. `exit`: None where the program was not run to its end, with why in `why`.

    `services` has the exit codes of those that have ended, None of others; `files` their contents,
    None of those that are not there.
    """
    start = time.monotonic()
    pids = [inside.start(program, streams) for program, streams in plan.services]
    ready_by = start + (plan.timeout if plan.timeout is not None else _SERVICES_SECONDS)
    why = _wait_until_ready(inside, plan.wait_for, pids, ready_by)
    code = None
    if not why:
        code = _run(inside, plan, None if plan.timeout is None else start + plan.timeout)
        why = "" if code is not None else f"it did not end within {plan.timeout:g} s"
    ended = [inside.ended.get(pid) for pid in pids]
    return {
        "exit": code,
        "why": why,
        "services": ended,
        "files": {path: _content(path) for path in plan.files},
    }


def _run(inside: Inside, plan: Plan, end: float | None) -> int | None:
    program, streams = plan.program
    pid = inside.start(program, streams)
    while pid not in inside.ended:
        if end is not None and time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            return None
        if not inside.reap():
            time.sleep(_PAUSE_SECONDS)
    return inside.ended[pid]


def _wait_until_ready(
    inside: Inside, wanted: Sequence[str], pids: Sequence[int], end: float
) -> str:
    """Why services are not ready; "" when they are."""
    waiting = list(wanted)
    while waiting and (waiting := [one for one in waiting if not _is_ready(one)]):
        while inside.reap():
            pass
        if pids and all(pid in inside.ended for pid in pids):
            return f"all services have ended, and this is not ready: {', '.join(waiting)}"
        if time.monotonic() > end:
            return f"this did not become ready: {', '.join(waiting)}"
        time.sleep(_PAUSE_SECONDS)
    return ""


def _is_ready(wanted: str) -> bool:
    kind, _, where = wanted.partition(":")
    if kind == "file":
        return os.path.exists(where)
    try:
        if kind == "tcp":
            return _accepts(socket.AF_INET, ("127.0.0.1", int(where)))
        return _accepts(socket.AF_UNIX, where)
    except OSError:
        return False


def _accepts(family: int, address: Any) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(_CONNECT_SECONDS)
        client.connect(address)
    return True


def _content(path: str) -> str | None:
    try:
        return as_compared(read_start(path, MOST_BYTES + 1))
    except OcclumError:
        return None


def as_compared(data: bytes) -> str:
    """A text as it is compared, of one more byte than counts; one that is cut is not the whole."""
    text = data[:MOST_BYTES].decode("utf-8", "surrogateescape")
    return text if len(data) <= MOST_BYTES else f"{text}\n{_CUT}\n"
