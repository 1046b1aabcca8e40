from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from occlum_build.files import shared_work
from occlum_build.files.shared_work import (
    PART_BYTES,
    PART_FILES,
    Meanwhile,
    parts_of,
    share_work,
)

PARTS = tuple(range(100))


pytestmark = pytest.mark.parametrize("cores", [1, 2, 4])


@pytest.fixture(autouse=True)
def _so_many(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the machine had so many cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))


def _no_child_is_left() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def test_results_are_in_the_order_of_the_parts(tmp_path: Path, cores: int) -> None:
    def do(part: int) -> tuple[int, ...]:
        (tmp_path / str(part)).write_text(str(os.getpid()))
        return (part,) * (part % 3)

    assert share_work(PARTS, do) == [(part,) * (part % 3) for part in PARTS]
    done_by = {path.read_text() for path in tmp_path.iterdir()}
    assert len(list(tmp_path.iterdir())) == len(PARTS)
    assert 1 <= len(done_by) <= cores
    assert _no_child_is_left()


def test_several_processes_work(tmp_path: Path, cores: int) -> None:
    """Each waits until all are there."""

    def do(part: int) -> tuple[int, ...]:
        (tmp_path / str(os.getpid())).touch()
        while len(list(tmp_path.iterdir())) < cores:
            os.sched_yield()
        return (part,)

    assert share_work(PARTS, do) == [(part,) for part in PARTS]


@pytest.mark.parametrize("wrong", [0, 57, 99])
def test_an_error_is_raised_here_whoever_met_it(wrong: int) -> None:
    def do(part: int) -> tuple[int, ...]:
        if part == wrong:
            raise ValueError(part)
        return (part,)

    with pytest.raises(ValueError, match=f"^{wrong}$"):
        share_work(PARTS, do)
    assert _no_child_is_left()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, None])
def test_what_a_copy_did_not_tell_of_is_done_here(end: signal.Signals | None) -> None:
    here = os.getpid()

    def do(part: int) -> tuple[int, ...]:
        if os.getpid() != here:
            if end is signal.SIGINT:
                raise KeyboardInterrupt
            if end is None:
                os._exit(3)
            os.kill(os.getpid(), end)
        return (part, here)

    assert share_work(PARTS, do) == [(part, here) for part in PARTS]
    assert _no_child_is_left()


def test_what_a_copy_had_begun_is_done_otherwise(tmp_path: Path, cores: int) -> None:
    here = os.getpid()

    def do(part: int) -> tuple[int, ...]:
        (tmp_path / str(part)).touch(exist_ok=False)
        while cores > 1 and not any(tmp_path.glob("left-*")):  # until a copy has left one
            if os.getpid() != here:
                (tmp_path / f"left-{part}").touch()
                raise ValueError
            os.sched_yield()
        return (part,)

    def do_again(part: int) -> tuple[int, ...]:
        (tmp_path / str(part)).unlink(missing_ok=True)
        return do(part)

    assert share_work(PARTS, do, do_again) == [(part,) for part in PARTS]


def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    opened = len(os.listdir("/proc/self/fd"))
    assert share_work(PARTS, lambda part: (part,)) == [(part,) for part in PARTS]
    assert len(os.listdir("/proc/self/fd")) == opened


def test_a_process_with_threads_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("it was copied"))
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        assert share_work(PARTS, lambda part: (part,)) == [(part,) for part in PARTS]
    finally:
        end.set()
        thread.join()


def test_more_parts_than_a_pipe_has_room_for() -> None:
    many = range(40_000)
    assert share_work(many, lambda part: (part,)) == [(part,) for part in many]


def test_a_copy_ends_with_its_parent(tmp_path: Path, cores: int) -> None:
    parent = os.fork()
    if not parent:
        here = os.getpid()

        def do(part: int) -> tuple[int, ...]:
            if os.getpid() == here:
                while cores > 1 and not any(tmp_path.iterdir()):  # a copy is at work
                    os.sched_yield()
                os.kill(here, signal.SIGKILL)
            while os.getppid() == here:
                (tmp_path / str(part)).touch()
            return (part,)

        share_work(PARTS, do)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1]) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) < cores


@pytest.mark.parametrize("data", [b"", b"1234567", b"\5" + bytes(7), b"\1" + bytes(7)])
def test_what_is_no_result_tells_of_nothing(data: bytes) -> None:
    assert shared_work._unpacked(data) == {}


def test_results_are_packed_and_unpacked() -> None:
    done = {3: (1, 2), 0: (), 7: (1 << 60,)}
    assert shared_work._unpacked(shared_work._packed(done)) == done


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([], []),
        ([0] * PART_FILES, [PART_FILES]),
        ([1] * (2 * PART_FILES + 1), [PART_FILES, PART_FILES, 1]),
        ([PART_BYTES] * 2, [1, 1]),
        ([1, PART_BYTES, 1, 1], [2, 2]),
    ],
)
def test_parts_are_of_few_files_or_bytes(sizes: list[int], lengths: list[int]) -> None:
    parts = parts_of(iter(sizes))
    assert [len(part) for part in parts] == lengths
    assert [number for part in parts for number in part] == list(range(len(sizes)))


def test_something_is_found_out_meanwhile(cores: int) -> None:
    with Meanwhile(lambda: (3, os.getpid())) as other:
        found = other.found()
    if cores == 1:
        assert found is None
    else:
        assert found is not None
        assert found[0] == 3
        assert found[1] != os.getpid()
    assert _no_child_is_left()


def test_what_fails_meanwhile_is_not_found(cores: int) -> None:
    with Meanwhile(lambda: (1 // 0,)) as other:
        assert other.found() is None
    assert _no_child_is_left()


def test_what_is_not_asked_for_is_not_waited_for(cores: int) -> None:
    def find() -> tuple[int, ...]:
        time.sleep(30)
        return (1,)

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Meanwhile(find):
        raise KeyboardInterrupt
    assert time.monotonic() - start < 20
    assert _no_child_is_left()


def test_nothing_is_found_meanwhile_where_there_are_threads(cores: int) -> None:
    is_over = threading.Event()
    thread = threading.Thread(target=is_over.wait)
    thread.start()
    try:
        with Meanwhile(lambda: (1,)) as other:
            assert other.found() is None
    finally:
        is_over.set()
        thread.join()
