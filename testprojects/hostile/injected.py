"""Runs functions of Python so that their Nth system call on files fails, or is a signal instead.

`with Injector(["some.module"]) as injector:` starts a process that imports the modules once, with
injector.c preloaded; each run is a fork of it, so that each system call of a command can be hit in
turn: `for ran in injector.each(call, KILL, prepare)`. Call it once before, so that what it imports
later is imported too.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Callable

KILL = -signal.SIGKILL
# The process stops before the call, `meanwhile` is called, and it goes on.
STOP = -signal.SIGSTOP
_SOURCE = Path(__file__).with_name("injector.c")
_ROOT = Path(__file__).resolve().parents[2]
_SOURCE_ROOTS = (str(_ROOT / "src/python"), str(_ROOT / "testprojects"))
_TRACEBACK_CODE = 70


@dataclass(frozen=True)
class Call:
    """A function "module:function" of JSON arguments, whose result is an exit code or nothing."""

    function: str
    arguments: Sequence[Any] = ()
    cwd: Path | str = "/"
    env: Mapping[str, str] = field(default_factory=dict)


def command(*argv: object, cwd: Path, env: Mapping[str, str] | None = None) -> Call:
    """A run of `occlum-build`."""
    return Call("occlum_build.cli.main:main", [list(map(str, argv))], cwd, env or {})


@dataclass(frozen=True)
class Ran:
    """How a call ended: its exit code, or minus the signal that ended it; how many system calls
    were counted; the one that was hit, "" for none, and its path."""

    code: int
    out: str
    err: str
    calls: int
    hit: str = ""
    path: str = ""

    @property
    def has_traceback(self) -> bool:
        return "Traceback (most recent call last)" in self.err

    def __str__(self) -> str:
        return f"at call {self.calls}, {self.hit} {self.path!r}: {self.code}\n{self.out}{self.err}"


class _Memory(ctypes.Structure):
    """`struct injected` of injector.c."""

    _fields_ = (
        ("armed", ctypes.c_long),
        ("only_changes", ctypes.c_long),
        ("at", ctypes.c_long),
        ("error", ctypes.c_long),
        ("lasting", ctypes.c_long),
        ("calls", ctypes.c_long),
        ("name", ctypes.c_char * 32),
        ("path", ctypes.c_char * 480),
    )


class Injector:
    """A process that forks for each call; `modules` are imported once, before."""

    def __init__(self, modules: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory()
        library = Path(self._folder.name, "injector.so")
        subprocess.run(
            ["gcc", "-O1", "-shared", "-fPIC", "-o", library, _SOURCE, "-ldl"], check=True
        )
        paths = [*_SOURCE_ROOTS, *filter(None, sys.path)]
        self._server = subprocess.Popen(
            [sys.executable, "-B", __file__, str(library), *modules],
            env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": ":".join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Injector:
        return self

    def __exit__(self, *_: object) -> None:
        if self._server.stdin:
            self._server.stdin.close()
        self._server.wait()
        if self._server.stdout:
            self._server.stdout.close()
        self._folder.cleanup()

    def run(
        self,
        call: Call,
        *,
        at: int = 0,
        error: int = 0,
        only_changes: bool = False,
        lasting: bool = False,
        kill_after: float = 0,
        meanwhile: Callable[[], object] | None = None,
    ) -> Ran:
        """Make a call whose system call number `at` has this errno, or is this signal (negative).

        `only_changes`: count only system calls that change files; `lasting`: only those that take
        space on the disk, and each from there on has the errno; `meanwhile` is for STOP;
        `kill_after`: SIGKILL after so many seconds.
        """
        request = {
            "function": call.function,
            "arguments": list(call.arguments),
            "cwd": str(call.cwd),
            "env": dict(call.env),
            "at": at,
            "error": error,
            "only_changes": only_changes,
            "lasting": lasting,
            "kill_after": kill_after,
        }
        answer = self._ask(request)
        if answer.get("stopped"):
            if meanwhile:
                meanwhile()
            answer = self._ask({"continue": True})
        return Ran(**answer)

    def each(
        self,
        call: Call,
        error: int,
        prepare: Callable[[], object],
        *,
        step: int = 1,
        only_changes: bool = False,
        lasting: bool = False,
        meanwhile: Callable[[], object] | None = None,
    ) -> Iterator[Ran]:
        """Runs with the first system call hit, then the `step`th after it, until all were.

        `prepare` is called before each. Signals are tried only before calls that change files: at
        any other the files are as before the next of these.
        """
        only_changes = only_changes or error < 0
        for at in count(1, step):
            prepare()
            ran = self.run(
                call,
                at=at,
                error=error,
                only_changes=only_changes,
                lasting=lasting,
                meanwhile=meanwhile,
            )
            if not ran.hit:
                return
            yield ran

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._server.stdin is None or self._server.stdout is None:
            raise ValueError("the server has pipes")
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = self._server.stdout.readline()
        if not answer:
            raise RuntimeError("the injector's process has ended")
        found: dict[str, Any] = json.loads(answer)
        return found


class _Server:
    def __init__(self, library: str) -> None:
        del os.environ["LD_PRELOAD"]
        memory_of = ctypes.CDLL(library).injected_memory
        memory_of.restype = ctypes.POINTER(_Memory)
        self._memory: _Memory = memory_of().contents
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def serve(self) -> None:
        gc.freeze()  # or each fork would copy all pages when it collects garbage
        for line in sys.stdin:
            with ExitStack() as stack:
                files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
                self._run(json.loads(line), *(file.fileno() for file in files))

    def _run(self, request: dict[str, Any], out: int, err: int, modules: int) -> None:
        memory = self._memory
        memory.armed, memory.calls, memory.name, memory.path = 0, 0, b"", b""
        memory.at, memory.error = request["at"], request["error"]
        memory.only_changes = int(request["only_changes"])
        memory.lasting = int(request["lasting"])
        child = os.fork()
        if child == 0:
            os.dup2(out, 1)
            os.dup2(err, 2)
            _call(memory, request, modules)
        if request["kill_after"]:
            time.sleep(request["kill_after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, os.WUNTRACED)
        while os.WIFSTOPPED(status):
            self._answer({"stopped": True})
            sys.stdin.readline()
            os.kill(child, signal.SIGCONT)
            _, status = os.waitpid(child, os.WUNTRACED)
        # What it imported the next one finds here: the importing is not what is tested.
        for name in _text(modules).split():
            with suppress(ImportError):
                importlib.import_module(name)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        self._answer(
            {
                "code": code,
                "out": _text(out),
                "err": _text(err),
                "calls": memory.calls,
                "hit": memory.name.decode(),
                "path": memory.path.decode("utf-8", "backslashreplace"),
            }
        )

    def _answer(self, answer: Mapping[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def _text(descriptor: int) -> str:
    return os.pread(descriptor, 1 << 20, 0).decode("utf-8", "backslashreplace")


def _call(memory: _Memory, request: dict[str, Any], modules: int) -> None:
    """In the child, which ends here; writes the names of the modules that it imported."""
    code, before = _TRACEBACK_CODE, {*sys.modules}
    try:
        os.chdir(request["cwd"])
        os.environ.update(request["env"])
        module, name = request["function"].split(":")
        function = getattr(importlib.import_module(module), name)
        memory.armed = 1
        code = function(*request["arguments"]) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        memory.armed = 0
        traceback.print_exc()
    finally:
        memory.armed = 0
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(modules, " ".join({*sys.modules} - before).encode())
        os._exit(code)


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    _Server(sys.argv[1]).serve()
