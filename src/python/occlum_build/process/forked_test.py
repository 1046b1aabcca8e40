from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError, Place
from occlum_build.process.forked import MOST_TASKS, do_tasks, processors


def text_of(number: int) -> bytes:
    return str(number).encode() * number


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_are_in_the_order_of_tasks(workers: int) -> None:
    assert do_tasks(500, text_of, workers) == [text_of(number) for number in range(500)]


def test_several_processes_work() -> None:
    def pid(number: int) -> bytes:
        time.sleep(0.05)
        return str(os.getpid()).encode()

    found = set(do_tasks(20, pid, 2))
    assert len(found) == 2 and str(os.getpid()).encode() not in found


def test_as_many_tasks_as_there_may_be() -> None:
    assert do_tasks(MOST_TASKS, lambda number: b"", 2) == [b""] * MOST_TASKS
    with pytest.raises(ValueError, match="do not fit"):
        do_tasks(MOST_TASKS + 1, text_of, 2)
    assert do_tasks(0, text_of, 2) == []


def test_the_first_error_is_raised() -> None:
    def fail(number: int) -> bytes:
        if number >= 7:
            raise OcclumError("code", f"no {number}", place=Place("a\udcff"), hint="do it")
        return b"x" * 100_000

    with pytest.raises(OcclumError) as error:
        do_tasks(50, fail, 3)
    (problem,) = error.value.problems
    assert (problem.code, problem.message, problem.hint) == ("code", "no 7", "do it")
    assert problem.place == Place("a\udcff")


def test_a_worker_that_is_killed() -> None:
    def die(number: int) -> bytes:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with pytest.raises(OcclumError, match="has ended before it was done"):
        do_tasks(10, die, 2)


def test_a_mistake_of_ours_is_seen(capfd: pytest.CaptureFixture[str]) -> None:
    def wrong(number: int) -> bytes:
        raise TypeError("wrong")

    with pytest.raises(OcclumError, match="has ended before it was done"):
        do_tasks(2, wrong, 2)
    assert "TypeError: wrong" in capfd.readouterr().err


def test_no_worker_stays_when_the_caller_is_interrupted(tmp_path: Path) -> None:
    parent = os.getpid()

    def slow(number: int) -> bytes:
        (tmp_path / str(os.getpid())).touch()
        if number == 1:
            os.kill(parent, signal.SIGINT)
        time.sleep(30)
        return b""

    with pytest.raises(KeyboardInterrupt):
        do_tasks(2, slow, 2)
    pids = [int(path.name) for path in tmp_path.iterdir()]
    assert pids and not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_no_workers_beside_threads() -> None:
    assert processors() == len(os.sched_getaffinity(0)) or threading.active_count() > 1
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert processors() == 1
    finally:
        done.set()
        thread.join()
