"""How programs are started, and why one is not."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.run.inside import run_program
from occlum_build.run.spec import Program, RootSpec

ENV = ("PATH=/bin",)


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("/bin/bash", "-c", "echo a\0b"), "/bin/bash cannot be started: embedded null byte"),
        (("/bin/bash", "-c", "echo \ud800"), "/bin/bash cannot be started: .*surrogates"),
        (("/bin/bash", "-c", "x" * (1 << 20)), "/bin/bash cannot be started: Argument list too"),
    ],
)
def test_arguments_that_no_program_can_have(image: Path, args: tuple[str, ...], told: str) -> None:
    with pytest.raises(OcclumError, match=told):
        run_program(RootSpec(str(image)), Program(args))


def test_a_limit_that_is_none(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for size in (1 << 62, 1 << 70):
        program = Program(("/bin/bash", "-c", "ulimit -v"), ENV, memory_bytes=size)
        assert run_program(RootSpec(str(image)), program) == 0
    assert len(capfd.readouterr().out.splitlines()) == 2


def test_a_lower_limit_holds(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before, low = resource.getrlimit(resource.RLIMIT_AS), 8 << 30
    pid = os.fork()
    if pid == 0:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (low, low))
            program = Program(("/bin/bash", "-c", "ulimit -v"), ENV, memory_bytes=9 << 30)
            os._exit(run_program(RootSpec(str(image)), program))
        finally:
            os._exit(99)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert capfd.readouterr().out == f"{low >> 10}\n"
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_limit_in_which_we_cannot_start_anything(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(os, "execve", no_memory)
    with pytest.raises(OcclumError, match="/bin/bash cannot be started: it has no memory"):
        run_program(RootSpec(str(image)), Program(("/bin/bash",)))
