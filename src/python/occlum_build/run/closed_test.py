"""What a program cannot get at: the process that started it, and the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.run import system
from occlum_build.run.inside import run_program
from occlum_build.run.spec import Program, RootSpec
from occlum_build.run.testing import as_nobody

# CAP_SYS_PTRACE, CAP_SYS_ADMIN and CAP_PERFMON of linux/capability.h
REFUSED = 1 << 19 | 1 << 21 | 1 << 38
FIRST = """
cat /proc/1/environ
cat /proc/1/cmdline
ls /proc/1/exe
cat /proc/1/maps
exec 9< /proc/1/mem
cat /proc/1/fd/0
"""


def script(text: str) -> Program:
    return Program(("/bin/bash", "-c", text), ("PATH=/bin",))


def check_nothing_of_the_first(capfd: pytest.CaptureFixture[str]) -> None:
    told = capfd.readouterr()
    assert told.out.replace("\0", "") in ("", "/proc/1/exe\n")
    assert "/proc/1/maps: Permission denied" in told.err
    assert "/proc/1/mem: Permission denied" in told.err


def refuse_user_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    unshare = system.unshare

    def no_user(namespaces: int) -> None:
        if namespaces & system.NEW_USER:
            raise PermissionError(1, "Operation not permitted", "new namespaces")
        unshare(namespaces)

    monkeypatch.setattr(system, "unshare", no_user)


def test_the_first_process_shows_nothing(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run_program(RootSpec(str(image)), script(FIRST))
    check_nothing_of_the_first(capfd)


def test_nor_to_an_unprivileged_user(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; all other tests run unprivileged")
    as_nobody(image, lambda copy: run_program(RootSpec(copy), script(FIRST)))
    check_nothing_of_the_first(capfd)


def test_nor_to_root_without_user_namespaces(
    image: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may without user namespaces")
    refuse_user_namespaces(monkeypatch)
    run_program(RootSpec(str(image)), script(FIRST))
    check_nothing_of_the_first(capfd)


def test_neither_it_nor_a_program_may_mount_or_trace_others(
    image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_program(RootSpec(str(image)), script("cat /proc/1/status /proc/self/status")) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("Cap")]
    assert len(lines) == 10
    assert [line for line in lines if int(line.split()[1], 16) & REFUSED] == []


def test_a_program_shows_itself(image: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run_program(RootSpec(str(image)), script("cat /proc/self/environ")) == 0
    assert "PATH=/bin\0" in capfd.readouterr().out


@pytest.mark.parametrize("has_user_namespaces", [True, False])
def test_the_machine_cannot_be_changed_by_proc(
    image: Path,
    has_user_namespaces: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not has_user_namespaces:
        if os.geteuid() != 0:
            pytest.skip("only root may without user namespaces")
        refuse_user_namespaces(monkeypatch)
    # Opened, and nothing is written.
    paths = "/proc/sys/vm/swappiness /proc/sys/kernel/core_pattern /proc/sysrq-trigger"
    text = f"for one in {paths}; do (exec 9>> $one && echo opened $one); done"
    run_program(RootSpec(str(image)), script(f"{text}; cat /proc/sys/kernel/ostype"))
    told = capfd.readouterr()
    assert told.out == "Linux\n"
    refused = ("Read-only file system", "Permission denied", "No such file")
    assert sum(told.err.count(one) for one in refused) == 3
