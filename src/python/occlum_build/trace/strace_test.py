"""Runs under strace: what a run is without it stays as it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.run.spec import SCRATCH, Mount, Program, RootSpec
from occlum_build.run.testing import make_image
from occlum_build.trace import strace as module
from occlum_build.trace.calls import EXEC, OPEN
from occlum_build.trace.processes import Ask
from occlum_build.trace.strace import can_supply, find_strace, run_traced
from occlum_build.trace.testing import need

ENV = ("PATH=/bin",)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need()
    return make_image(tmp_path_factory.mktemp("image"))


def bash(script: str, **settings: int) -> Program:
    return Program(("/bin/bash", "-c", script), ENV, **settings)


def test_asks_of_all_processes(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = "cd /data && (cat gone &) ; sleep 0.1; echo $A; exit 9"
    code, record = run_traced(RootSpec(str(image)), bash(script))
    assert (code, record.runs, record.is_incomplete) == (9, 1, False)
    assert Ask("/bin/bash", "/bin/bash", EXEC, True) in record.asks
    assert Ask("/bin/cat", "/bin/bash", EXEC, True) in record.asks
    assert Ask("/data/gone", "/bin/cat", OPEN, False) in record.asks
    assert not any("occlum" in ask.path or ask.path.endswith(".py") for ask in record.asks)
    told = capfd.readouterr()
    assert (told.out, "cat: gone: No such file or directory" in told.err) == ("\n", True)


def test_a_program_that_dies(image: Path) -> None:
    code, record = run_traced(RootSpec(str(image)), bash("cat /gone; kill -SEGV $$"))
    assert code == 128 + signal.SIGSEGV
    assert Ask("/gone", "/bin/cat", OPEN, False) in record.asks


def test_what_a_run_has_beside_the_program(
    image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seen").write_text("yes\n")
    spec = RootSpec(str(image), (Mount("/host", str(tmp_path)),), SCRATCH)
    script = "cat /host/seen; echo x > /new; cat /new; ulimit -v; ls /proc/self/fd"
    code, _ = run_traced(spec, bash(script, memory_bytes=1 << 30))
    assert (code, capfd.readouterr().out.splitlines()[:3]) == (0, ["yes", "x", "1048576"])


def test_the_program_has_the_standard_streams_alone(
    image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_traced(RootSpec(str(image)), bash("ls /proc/self/fd"))[0] == 0
    assert capfd.readouterr().out.split() == ["0", "1", "2", "3"]  # the last is what ls reads


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_program(number: int, image: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from occlum_build.trace.strace import *; "
        "from occlum_build.run.spec import *; "
        "script = 'trap \"echo got; exit 5\" TERM INT; echo ready; while :; do sleep 0.05; done'; "
        "program = Program(('/bin/bash', '-c', script), ('PATH=/bin',)); "
        "code, record = run_traced(RootSpec(sys.argv[1]), program); "
        "print(len(record.asks) > 10, flush=True); sys.exit(code)"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code, str(image)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert started.stdout is not None
    assert started.stdout.readline() == b"ready\n"
    started.send_signal(number)
    out, _ = started.communicate(timeout=60)
    assert (out, started.returncode) == (b"got\nTrue\n", 5)


def test_a_program_that_cannot_be_executed(image: Path) -> None:
    with pytest.raises(OcclumError, match="/bin/none cannot be started: No such file") as error:
        run_traced(RootSpec(str(image)), Program(("/bin/none",)))
    assert error.value.code == "run"


def test_there_is_no_strace(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(image))
    with pytest.raises(OcclumError, match="strace is not there") as error:
        find_strace()
    (problem,) = error.value.problems
    assert problem.hint == "install it: `apt-get install strace`"


def test_a_machine_on_which_strace_cannot_trace(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strace").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "strace").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ.get('PATH', os.defpath)}")
    with pytest.raises(OcclumError, match="strace cannot trace on this machine"):
        run_traced(RootSpec(str(image)), bash("exit 0"))


def test_lines_that_are_very_long_are_no_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_LINE", 10)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 8)
    reading, writing = os.pipe()
    os.write(writing, b"one\n" + b"x" * 30 + b"\ntwo\nrest")
    os.close(writing)
    lines = list(module._lines(reading))
    os.close(reading)
    assert (lines[0], lines[-1]) == ("one", "two")
    assert all(len(line) <= 18 for line in lines)


def test_whether_a_root_can_be_shown_below(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert can_supply(RootSpec(str(image), below="/"))

    def refuse(*_arguments: object) -> None:
        raise OcclumError("run", "no")

    monkeypatch.setattr(module, "run_inside", refuse)
    assert not can_supply(RootSpec(str(image), below="/"))
