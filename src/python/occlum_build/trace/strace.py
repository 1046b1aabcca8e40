"""Runs a program of an image under strace, which tells of each file that is asked for.

strace stands outside of the image: it starts our second process anew, and follows what that starts.
A filter in the kernel (seccomp) stops only the calls that count, so that all others cost nothing.
What strace tells comes by a pipe and is counted as it comes: it takes no disk, and bounded memory.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import CONFIG_BYTES, MIB
from occlum_build.files.reading import read_file
from occlum_build.run.descriptors import pipe_above_streams
from occlum_build.run.inside import run_inside, run_program, take_over
from occlum_build.run.spec import Mount, Program, RootSpec
from occlum_build.trace.calls import TRACED, Calls
from occlum_build.trace.processes import Processes
from occlum_build.trace.record import CODE, Record

_HANDED_OVER = "handed-over"
_CHUNK_BYTES = 1 << 16
_LONGEST_LINE = 1 * MIB
# Our interpreter again: with the modules that it has now, and none of the user's settings.
_START = (
    "import sys; sys.path[:] = sys.argv.pop(1).split(':'); "
    "from occlum_build.trace.strace import go_on; go_on(sys.argv[1])"
)


def find_strace() -> str:
    """The path of the tool. Raises OcclumError `trace` where it is not installed."""
    found = shutil.which("strace")
    if found is None:
        hint = "install it: `apt-get install strace`"
        raise OcclumError(CODE, "strace is not there, which traces are made with", hint=hint)
    return found


def can_supply(spec: RootSpec) -> bool:
    """Whether this machine can show a root file system below the image: overlays on overlays."""
    try:
        run_inside(spec, lambda _inside: True)
    except OcclumError:
        return False
    return True


def run_traced(spec: RootSpec, program: Program) -> tuple[int, Record]:
    """Run a program as `run_program` does; its exit code, and what it asked for.

    Raises OcclumError `run` as that does, and `trace` where strace is absent or cannot trace.
    """
    detour = _Detour(find_strace(), program)
    try:
        code = run_program(spec, program, detour)
    except OcclumError:
        if detour.has_failed():
            hint = "in a container, allow it: `docker run --cap-add SYS_PTRACE`"
            raise OcclumError(CODE, "strace cannot trace on this machine", hint=hint) from None
        raise
    finally:
        detour.close()
    return code, detour.record


class _Detour:
    """The second process of a run becomes strace, and that starts us again as the same process."""

    def __init__(self, strace: str, program: Program) -> None:
        self._strace, self._program = strace, program
        self.record = Record(runs=1)
        self._reading, self._writing = pipe_above_streams()
        self._thread: threading.Thread | None = None
        self._number_of_lines = 0

    def become(self, spec: RootSpec, folder: str, channel: Mapping[str, Any]) -> None:
        handed_over = {
            "spec": asdict(spec),
            "program": asdict(self._program),
            "folder": folder,
            "channel": dict(channel),
        }
        # Not as an argument, which everybody could read.
        with open(os.path.join(folder, _HANDED_OVER), "x", encoding="ascii") as file:
            json.dump(handed_over, file)
        os.set_inheritable(self._writing, True)
        path = ":".join(os.path.abspath(one) for one in sys.path)
        ours = [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _START, path, folder]
        os.execv(self._strace, [self._strace, *_options(self._writing), "--", *ours])

    def started(self, pid: int) -> None:
        os.close(self._writing)
        self._writing = -1
        self._thread = threading.Thread(target=self._read, args=(pid,), daemon=True)
        self._thread.start()

    def has_failed(self) -> bool:
        """Whether strace has ended and has told of nothing, not even of our own start."""
        if self._thread is not None:
            self._thread.join()
        return self._thread is not None and not self._number_of_lines

    def close(self) -> None:
        """Wait until strace has told everything."""
        if self._writing >= 0:
            os.close(self._writing)
        if self._thread is not None:
            self._thread.join()
        os.close(self._reading)

    def _read(self, first: int) -> None:
        calls, processes = Calls(), Processes(first, self._program.args[0])
        for line in _lines(self._reading):
            self._number_of_lines += 1
            event = calls.event(line)
            if event is not None:
                for ask in processes.asks(event):
                    self.record.add(ask)
        self.record.is_incomplete |= processes.is_incomplete


def go_on(folder: str) -> None:
    """What strace starts: the second process of a run goes on."""
    path = os.path.join(folder, _HANDED_OVER)
    value = json.loads(read_file(path, CONFIG_BYTES * 16, code=CODE))
    os.unlink(path)
    spec, program = value["spec"], value["program"]
    take_over(
        RootSpec(
            **{
                **spec,
                "mounts": tuple(Mount(**one) for one in spec["mounts"]),
                "hidden": tuple(spec["hidden"]),
            }
        ),
        Program(tuple(program["args"]), tuple(program["env"]), program["memory_bytes"]),
        value["folder"],
        value["channel"],
    )


def _options(output: int) -> list[str]:
    """-D: it is no parent of ours, so that signals, terminal and exit code stay as without it."""
    return [
        "-D", "-f", "--seccomp-bpf", "-q", "-y", "--decode-pids=pidns",
        "-s", "0", "-e", "signal=none", "-e", f"trace={TRACED}", "-o", f"/proc/self/fd/{output}",
    ]  # fmt: skip


def _lines(descriptor: int) -> Iterator[str]:
    """The lines that come by a pipe; one that is very long is no call that counts."""
    rest = b""
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("latin-1")
        if len(rest) > _LONGEST_LINE:
            rest = b""
