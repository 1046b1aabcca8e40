"""What is told where a worker could not start a process, and what Pants adds to its errors."""

from __future__ import annotations

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any, Callable

import pytest
from pants.engine.process import FallibleProcessResult, Process, ProcessExecutionFailure

from occlum_build.errors import OcclumError
from pants_occlum.process import tool_result
from pants_occlum.process.execution import Execution
from pants_occlum.process.tool_result import run_tool, run_tool_or_raise, without_noise

MKDIR = "/bin/mkdir: cannot create directory \u2018\u2019: No such file or directory\n".encode()
NOT_FOUND = b"./__wrapper__: 4: exec: .py/python: not found\n"
PROCESS = Process(["x"], description="Scan files of app:image")
HERE = Execution(remote_execution=False)
THERE = Execution(remote_execution=True, python="/caches/occlum_python/python")

Run = Callable[[Process], Coroutine[Any, Any, Any]]


def comes_to(
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    code: int,
    stderr: bytes,
    execution: Execution = THERE,
) -> Any:
    """What `run` gives where the process ends so."""

    async def execute_process(process: Process, **_: object) -> Any:
        return result(code, stderr)

    async def execute_process_or_raise(**_: object) -> Any:
        if code:
            keep = SimpleNamespace()
            raise ProcessExecutionFailure(code, b"", stderr, "Scan", keep_sandboxes=keep)  # type: ignore[arg-type]
        return result(code, stderr)

    async def find_execution(**_: object) -> Execution:
        return execution

    for one in (execute_process, execute_process_or_raise, find_execution):
        monkeypatch.setattr(tool_result, one.__name__, one)
    with pytest.raises(StopIteration) as done:
        run(PROCESS).send(None)
    return done.value.value


def result(code: int, stderr: bytes) -> FallibleProcessResult:
    nothing: Any = None
    return FallibleProcessResult(b"", nothing, stderr, nothing, code, nothing, nothing)


@pytest.mark.parametrize("run", [run_tool, run_tool_or_raise])
@pytest.mark.parametrize("code", [126, 127])
def test_a_worker_without_an_interpreter(
    monkeypatch: pytest.MonkeyPatch, run: Run, code: int
) -> None:
    with pytest.raises(OcclumError) as caught:
        comes_to(monkeypatch, run, code, MKDIR + NOT_FOUND)
    message, hint = str(caught.value).split("\n  hint: ")
    assert message.startswith("Scan files of app:image: the worker that ran it has no interpreter")
    assert "at /caches/occlum_python/python: ./__wrapper__: 4: exec: .py/python" in message
    assert "on each worker, or set [GLOBAL].remote_execution_append_only_caches_base_path" in hint
    assert "mkdir" not in str(caught.value)


def test_this_machine_without_an_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OcclumError, match="named_caches_dir") as caught:
        comes_to(monkeypatch, run_tool, 127, NOT_FOUND, HERE)
    assert "worker" not in str(caught.value)


def test_other_failures_are_told_without_what_pants_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert comes_to(monkeypatch, run_tool, 1, MKDIR + b"wrong\n").stderr == b"wrong\n"
    with pytest.raises(ProcessExecutionFailure) as caught:
        comes_to(monkeypatch, run_tool_or_raise, 1, MKDIR + b"wrong\n")
    assert "wrong" in str(caught.value) and "mkdir" not in str(caught.value)


@pytest.mark.parametrize("run", [run_tool, run_tool_or_raise])
def test_what_succeeds_is_as_it_is(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    assert comes_to(monkeypatch, run, 0, MKDIR).stderr == MKDIR


@pytest.mark.parametrize(
    "line",
    [
        MKDIR,
        b"/bin/mkdir: cannot create directory '': No such file or directory\n",
        b"mkdir: can't create directory '': No such file or directory\n",
    ],
)
def test_noise_of_several_kinds_of_mkdir(line: bytes) -> None:
    other = b"mkdir: cannot create directory '/caches': Permission denied\n"
    assert without_noise(line + other + b"end") == other + b"end"
