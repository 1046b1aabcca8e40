"""Signals and the terminal, with the command as users start it."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlum_build.run import inside, signals
from occlum_build.run.signals import Relay
from occlum_build.run.spec import Program, RootSpec
from occlum_build.run.testing import SECONDS, read_until, wait_until

COMMAND = (sys.executable, "-m", "occlum_build.cli.main", "run")
STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """End what a test that failed has left running."""
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.communicate(timeout=SECONDS)


def script(*names: str) -> str:
    """It tells of signals until its standard input ends.

    It waits by a builtin: with `sleep`, bash itself loses about one SIGINT of its group in a
    hundred. It runs a trap for that only where its child has died of it, which a child that has
    just ended, or is not yet executed, does not.
    """
    traps = "".join(f"trap 'echo got {one}' {one}; " for one in names)
    wait = "while read -t 0.1 || [[ $? -gt 128 ]]; do :; done"  # above 128: in time, or a signal
    return f"{traps}trap 'echo term; exit 5' TERM; echo ready; {wait}"


def start(image: Path, text: str, *wrapper: str, tmp: str = "/tmp") -> subprocess.Popen[str]:
    """The run of a script in a process group of its own, as of a shell."""
    process = subprocess.Popen(
        [*wrapper, *COMMAND, str(image), "--", "/bin/bash", "-c", f"PATH=/bin; {text}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": tmp},
    )
    STARTED.append(process)
    return process


def read_to(process: subprocess.Popen[str], wanted: str) -> str:
    assert process.stdout is not None
    return read_until(process.stdout.fileno(), wanted)


def check_all_have_ended(process: subprocess.Popen[str]) -> None:
    """The last that can write has, with standard input still open."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], SECONDS)[0]
    assert process.stdout.read() == ""


def test_signals_reach_the_program_once(image: Path) -> None:
    process = start(image, script("INT", "HUP", "USR1"))
    assert read_to(process, "\n") == "ready\n"
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        process.send_signal(number)
        assert read_to(process, "\n") == f"got {number.name[3:]}\n"
    process.send_signal(signal.SIGTERM)
    assert read_to(process, "\n") == "term\n"
    assert process.communicate(timeout=SECONDS)[0] == ""
    assert process.returncode == 5


def test_signals_of_the_process_group_reach_the_program_once(image: Path) -> None:
    process = start(image, script("INT", "HUP", "USR1"))
    assert read_to(process, "\n") == "ready\n"
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        os.killpg(process.pid, number)
        assert read_to(process, "\n") == f"got {number.name[3:]}\n"
    process.send_signal(signal.SIGTERM)
    assert read_to(process, "\n") == "term\n"
    assert process.communicate(timeout=SECONDS)[0] == ""
    assert process.returncode == 5


@pytest.mark.parametrize("name", ["between", "last", "restore"])
def test_a_signal_that_comes_before_a_process_is_ready(
    image: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    us, between = os.getpid(), vars(inside)["between"]

    def signal_soon() -> object:
        if os.fork() == 0:
            time.sleep(0.2)
            os.kill(us, signal.SIGTERM)
            os._exit(0)
        return between()

    monkeypatch.setattr(inside, "between", signal_soon)
    step = getattr(inside, name)

    def late(*arguments: object) -> object:
        time.sleep(0.6)  # in which the signal comes
        return step(*arguments)

    monkeypatch.setattr(inside, name, late)
    program = Program(("/bin/sleep", "30"))
    assert inside.run_program(RootSpec(str(image)), program) == 128 + signal.SIGTERM


@pytest.mark.parametrize("is_to_group", [False, True])
def test_signals_that_come_early_reach_the_program(image: Path, is_to_group: bool) -> None:
    for attempt in range(12):
        process = start(image, "trap 'exit 33' TERM; sleep 30 & wait; exit 44")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(children.read_text)
        time.sleep(attempt * 0.001)
        (os.killpg if is_to_group else os.kill)(process.pid, signal.SIGTERM)
        told = process.communicate(timeout=SECONDS)
        assert process.returncode in (33, 128 + signal.SIGTERM), told


def test_a_signal_of_the_group_that_comes_just_before_the_program_is_there(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_back = signals.hold

    def hold() -> frozenset[int]:
        """As the process that starts the program gets it: itself, and as a carrier."""
        held = held_back()
        if os.getpid() == 1:
            os.kill(1, signal.SIGTERM)
            os.kill(1, vars(signals)["_CARRIER"][signal.SIGTERM])
        return held

    monkeypatch.setattr(inside, "hold", hold)
    program = Program(("/bin/sleep", "30"))
    assert inside.run_program(RootSpec(str(image)), program) == 128 + signal.SIGTERM


def test_what_is_handed_over_comes_once() -> None:
    held = signals.hold()
    os.kill(os.getpid(), signal.SIGUSR1)
    gate, opener = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(opener)
        count: list[int] = []
        signal.signal(signal.SIGUSR1, lambda number, _frame: count.append(number))
        os.read(gate, 1)
        signals.let_go(held)
        os._exit(len(count))
    os.kill(pid, signal.SIGUSR1)  # it has got this itself
    signals.hand_over(pid)
    os.close(opener)
    os.close(gate)
    assert signal.sigwait({signal.SIGUSR1}) == signal.SIGUSR1
    signals.let_go(held)
    assert ended(pid) == 1


def test_a_signal_is_handled_that_comes_just_before_we_wait() -> None:
    handled: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: handled.append(number))

    def has_ended() -> bool:
        if not handled:
            os.kill(os.getpid(), signal.SIGUSR1)
        return bool(handled)

    try:
        signals.await_child(has_ended)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert handled == [signal.SIGUSR1]


def test_whoever_ignores_the_ends_of_children_has_exit_codes(image: Path) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        program = Program(("/bin/bash", "-c", "exit 3"))
        assert inside.run_program(RootSpec(str(image)), program) == 3
        assert signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_carriers_of_signals_of_the_group_may_be_late(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: sent.append(number))
    relay = Relay({99: signal.SIGINT})
    relay.pass_to(1)
    relay.is_started = True
    for noted, carried in ((2, 2), (0, 1), (1, 2)):
        for _ in range(noted):
            relay.note(signal.SIGINT, None)
        for _ in range(carried):
            relay.handle_carrier(99, None)
    assert sent == [signal.SIGINT] * 2  # the one, and the last of two


def test_a_signal_for_a_process_that_has_just_ended_is_no_error() -> None:
    relay = Relay({signal.SIGTERM: signal.SIGTERM})
    relay.handle(signal.SIGTERM, None)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    relay.pass_to(child)
    relay.handle(signal.SIGTERM, None)


def test_a_program_starts_with_the_signals_that_were_held_back(
    image: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = Program(("/bin/cat", "/proc/self/status"))
    for held in ((), (signal.SIGUSR1,)):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
        try:
            assert inside.run_program(RootSpec(str(image)), program) == 0
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        blocked = "".join(f"{sum(1 << (one - 1) for one in {*before, *held}):016x}")
        assert f"SigBlk:\t{blocked}\n" in capfd.readouterr().out


def test_a_signal_that_ends_the_program(image: Path) -> None:
    process = start(image, "echo ready; sleep 600; true")
    assert read_to(process, "\n") == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGTERM


def test_whoever_ignores_a_signal_has_it_ignored(image: Path) -> None:
    process = start(image, "kill -HUP $$; echo still here", "nohup")
    assert process.communicate(timeout=SECONDS)[0] == "still here\n"


def test_all_ends_when_we_are_killed(image: Path, tmp_path: Path) -> None:
    process = start(image, "echo ready; sleep 600; true", tmp=str(tmp_path))
    assert read_to(process, "\n") == "ready\n"
    process.kill()
    check_all_have_ended(process)


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "INT"), (b"\x1c", "QUIT")])
def test_keys_of_a_terminal_reach_the_program_once(image: Path, key: bytes, name: str) -> None:
    text = f"n=0; trap 'n=$((n+1)); echo {name} $n' {name}; " + script()
    pid, terminal = in_terminal(image, f"PATH=/bin; {text}")
    read_until(terminal, "ready")
    for count in (1, 2):
        os.write(terminal, key)
        read_until(terminal, f"{name} {count}\r\n")
    os.kill(pid, signal.SIGTERM)
    read_until(terminal, "term")
    assert ended(pid) == 5


def test_a_program_reads_from_the_terminal(image: Path) -> None:
    text = "read -p 'name? ' a; test -t 0 && echo you are $a"
    pid, terminal = in_terminal(image, text)
    read_until(terminal, "name? ")
    os.write(terminal, b"me\n")
    read_until(terminal, "you are me")
    assert ended(pid) == 0


def in_terminal(image: Path, text: str) -> tuple[int, int]:
    """The pid of a run in a terminal of its own, and that terminal."""
    argv = [*COMMAND, str(image), "--", "/bin/bash", "-c", text]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    return pid, terminal


def ended(pid: int) -> int:
    """The exit code of a child that ends by itself."""
    descriptor = os.pidfd_open(pid)
    assert select.select([descriptor], [], [], SECONDS)[0], f"{pid} does not end"
    os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
