"""Work that this process shares with copies of itself: what one core alone would be long at.

Not threads, as what is done for each of many small files is as much Python as system calls.
"""

from __future__ import annotations

import gc
import os
import struct
from _signal import SIGKILL  # `signal` takes longer to load
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Callable, TypeVar

T = TypeVar("T")
Numbers = tuple[int, ...]

MOST_PROCESSES = 4
PART_FILES = 64
PART_BYTES = 8 << 20
_NUMBER = struct.Struct("=I")
_READ_BYTES = 1 << 16


def share_work(
    parts: Sequence[T],
    do: Callable[[T], Numbers],
    do_again: Callable[[T], Numbers] | None = None,
) -> list[Numbers]:
    """What `do` gives for each part, some of it done in copies of this process.

    What a copy failed at is done again here, by `do_again` where it matters that it was begun, as
    is all when there can be none: so every error is raised here, and nothing else comes back from
    a copy.
    """
    done: dict[int, Numbers] = {}
    copies = min(MOST_PROCESSES, len(os.sched_getaffinity(0)), len(parts)) - 1
    if copies > 0 and not _has_threads():
        _share(parts, do, copies, done)
    again = do_again or do
    return [done[number] if number in done else again(part) for number, part in enumerate(parts)]


class Meanwhile:
    """What a copy of this process finds out while this one does something else.

    To be used as a context manager: at its end the copy has ended, done or not.
    """

    def __init__(self, find: Callable[[], Numbers]) -> None:
        self._process = self._result = 0
        self._has_told = False
        if len(os.sched_getaffinity(0)) > 1 and not _has_threads():
            with suppress(OSError):  # too many processes
                self._process, self._result = _copy(lambda end: _tell(end, {0: find()}))

    def __enter__(self) -> Meanwhile:
        return self

    def __exit__(self, *_error: object) -> None:
        if not self._process:
            return
        os.close(self._result)
        if not self._has_told:
            with suppress(ProcessLookupError):
                os.kill(self._process, SIGKILL)
        _wait_for(self._process)

    def found(self) -> Numbers | None:
        """What it was, waited for; None where the copy failed, or there is none. Asked once."""
        if not self._process:
            return None
        told = _told(self._result)
        self._has_told = True
        return told.get(0)


def parts_of(sizes: Iterable[int]) -> list[range]:
    """The numbers of files of these sizes, in parts that are short enough to end at one time."""
    parts, start, size, end = [], 0, 0, 0
    for end, one in enumerate(sizes, 1):
        size += one
        if end - start >= PART_FILES or size >= PART_BYTES:
            parts.append(range(start, end))
            start, size = end, 0
    return [*parts, range(start, end)] if start < end else parts


def _has_threads() -> bool:
    """Has this process other threads? A copy would have none, and wait for what they hold."""
    try:
        return len(os.listdir("/proc/self/task")) != 1
    except OSError:  # nobody can tell
        return True


def _share(
    parts: Sequence[T], do: Callable[[T], Numbers], copies: int, done: dict[int, Numbers]
) -> None:
    """Work through the parts until none is left to begin with; `done` gets the results."""
    queue, parent = _queue_of(len(parts)), os.getpid()
    results: dict[int, int] = {}  # process id -> where it tells what it has done
    try:
        with suppress(OSError):  # too many processes: then with fewer
            while len(results) < copies:
                process, result = _copy(lambda end: _work_for(parent, parts, do, queue, end))
                results[process] = result
        _take_parts(parts, do, queue, done)
        for result in results.values():
            done.update(_told(result))
    finally:
        _drain(queue)
        os.close(queue)
        for process, result in results.items():
            os.close(result)
            _wait_for(process)


def _queue_of(count: int) -> int:
    """A pipe that holds the numbers of the parts, each of which one process takes.

    Those for which it has no room are left over.
    """
    queue, end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with suppress(BlockingIOError):
            os.write(end, b"".join(map(_NUMBER.pack, range(count))))
    finally:
        os.close(end)
    return queue


def _take_parts(
    parts: Sequence[T], do: Callable[[T], Numbers], queue: int, done: dict[int, Numbers]
) -> None:
    while len(taken := os.read(queue, _NUMBER.size)) == _NUMBER.size:
        (number,) = _NUMBER.unpack(taken)
        done[number] = do(parts[number])


def _wait_for(process: int) -> None:
    with suppress(ChildProcessError):  # where the system was told to wait for it
        os.waitpid(process, 0)


def _copy(work: Callable[[int], None]) -> tuple[int, int]:
    """Start a copy of this process, which gets the end of a pipe to tell its results.

    Its id, and that pipe. May raise OSError.
    """
    result, end = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    try:
        process = os.fork()
        if not process:
            gc.disable()  # what it would look through is all of this process
            os.close(result)
            work(end)
    except BaseException:
        os.close(result)
        raise
    finally:
        if os.getpid() != parent:  # whatever was raised, and be it by a signal before all else
            os._exit(0)
        os.close(end)
    return process, result


def _work_for(
    parent: int, parts: Sequence[T], do: Callable[[T], Numbers], queue: int, end: int
) -> None:
    """What a copy does, until nothing is left to be done or nobody waits for it any more."""
    done: dict[int, Numbers] = {}

    def do_for_parent(part: T) -> Numbers:
        if os.getppid() != parent:
            os._exit(1)
        return do(part)

    with suppress(BaseException):  # the parent does it again, and meets the error itself
        _take_parts(parts, do_for_parent, queue, done)
    _drain(queue)
    _tell(end, done)


def _tell(end: int, done: dict[int, Numbers]) -> None:
    with open(end, "wb") as stream:
        stream.write(_packed(done))


def _told(result: int) -> dict[int, Numbers]:
    """What a copy has done; nothing where it came to an end before it told."""
    chunks = []
    while chunk := os.read(result, _READ_BYTES):
        chunks.append(chunk)
    return _unpacked(b"".join(chunks))


def _packed(done: dict[int, Numbers]) -> bytes:
    """Results as integers: how many, then of each part its number, its length and its own ones."""
    flat = [one for number, found in done.items() for one in (number, len(found), *found)]
    return struct.pack(f"={1 + len(flat)}q", len(flat), *flat)


def _unpacked(data: bytes) -> dict[int, Numbers]:
    size = struct.calcsize("=q")
    if len(data) < size or len(data) % size:
        return {}
    count, *flat = struct.unpack(f"={len(data) // size}q", data)
    done, start = {}, 0
    while count == len(flat) and start < count:
        number, length = flat[start : start + 2]
        start += 2 + length
        done[number] = tuple(flat[start - length : start])
    return done


def _drain(queue: int) -> None:
    """Leave nobody anything to begin with."""
    while os.read(queue, _READ_BYTES):
        pass
