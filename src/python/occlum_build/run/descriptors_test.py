from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.run.inside import run_inside, run_program
from occlum_build.run.spec import Program, RootSpec
from occlum_build.run.testing import SECONDS

COMMAND = f"{sys.executable} -m occlum_build.cli.main run"
LEAVE = "echo x > /proc/self/fd/9/new; echo x > /dev/fd/9/new; PATH=/bin ls /proc/self/fd"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/bash", "-c", command], capture_output=True, text=True, timeout=SECONDS
    )


def test_descriptors_that_are_open_do_not_reach_the_program(image: Path, tmp_path: Path) -> None:
    done = shell(f"{COMMAND} {image} -- /bin/bash -c '{LEAVE}' 9< {tmp_path} 200< {tmp_path}")
    assert done.stdout.split() == ["0", "1", "2", "3"]  # the last is that of ls
    assert os.listdir(tmp_path) == []


def test_nor_those_above_a_limit(image: Path, tmp_path: Path) -> None:
    command = f"exec 200< {tmp_path}; ulimit -n 100; {COMMAND} {image} -- /bin/bash -c '{LEAVE}'"
    assert shell(command).stdout.split() == ["0", "1", "2", "3"]


def test_what_is_kept(image: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    kept = os.open(tmp_path / "kept", os.O_RDONLY)
    other = os.dup(kept)
    told = run_inside(
        RootSpec(str(image)), lambda _inside: [_is_open(kept), _is_open(other)], kept=(kept,)
    )
    assert told.value == [True, False]
    os.close(kept)
    os.close(other)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize("redirection", ["< /", "1< /", "2< /"])
def test_a_stream_that_is_a_directory(image: Path, redirection: str) -> None:
    code = shell(f"{COMMAND} {image} -- /bin/bash -c 'exit 3' {redirection}").returncode
    assert code not in (0, 3)  # some are refused by Python already


def test_streams_that_are_closed(image: Path) -> None:
    script = "read a; echo read $?; exit 3"
    done = shell(f"{COMMAND} {image} -- /bin/bash -c '{script}' <&-")
    assert (done.returncode, done.stdout) == (3, "read 1\n")
    assert shell(f"{COMMAND} {image} -- /bin/bash -c '{script}' <&- >&- 2>&-").returncode == 3


def test_a_directory_is_told_by_the_library(image: Path) -> None:
    saved, folder = os.dup(0), os.open("/", os.O_RDONLY)
    os.dup2(folder, 0)
    try:
        with pytest.raises(OcclumError, match="standard input is a directory"):
            run_program(RootSpec(str(image)), Program(("/bin/ls",)))
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(folder)
