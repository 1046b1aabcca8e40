"""Tasks done by several processes of one program, in any order, with the results in order.

Workers are forked, so that they have what this process has without its being sent: a key stays in
memory. A task is a number, for what it does the caller's function knows.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Callable, NoReturn

from occlum_build.errors import OcclumError, Problem

# So many numbers fit into a pipe (64 KiB, pipe(7)) before anybody reads of it.
MOST_TASKS = 8192
_task = struct.Struct("<Q")
_answer = struct.Struct("<QQ?")  # the task, how many bytes follow, whether these are an error


def processors() -> int:
    """How many workers this process may put to use: 1 where forking is not safe."""
    if threading.active_count() > 1:
        return 1
    return len(os.sched_getaffinity(0))


def do_tasks(count: int, do: Callable[[int], bytes], workers: int) -> list[bytes]:
    """What `do` gives of 0 to count - 1 (at most MOST_TASKS), by so many workers.

    The OcclumError of the first task that has one is raised, maybe before others have run.
    """
    if workers == 1 or count < 2:
        return [do(number) for number in range(count)]
    if count > MOST_TASKS:
        raise ValueError(f"{count} tasks do not fit into a pipe")
    found: list[bytes] = []
    with ExitStack() as stack:
        tasks, waiting = _pipe(stack)
        waiting.write(b"".join(map(_task.pack, range(count))))
        waiting.close()
        pipes = []
        for _ in range(min(workers, count)):
            results, given = _pipe(stack)
            stack.enter_context(_worker(tasks, given, do))
            given.close()
            pipes.append(results)
        found += _collect(pipes, count)
    return found


def _collect(pipes: list[BinaryIO], count: int) -> list[bytes]:
    found: dict[int, bytes] = {}
    failed: dict[int, bytes] = {}
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ, pipe)
        while selector.get_map():
            for key, _ in selector.select():
                head = key.data.read(_answer.size)
                if len(head) < _answer.size:  # the worker has ended
                    selector.unregister(key.data)
                    continue
                number, size, is_error = _answer.unpack(head)
                (failed if is_error else found)[number] = key.data.read(size)
    # Tasks are taken in order, so all before the first that failed have been done.
    if failed:
        problems = json.loads(failed[min(failed)])
        raise OcclumError.of([Problem.from_json(one) for one in problems])
    if len(found) < count:
        raise OcclumError(
            "worker",
            "a process that does a part of the work has ended before it was done",
            hint="look whether memory is short, then run it again",
        )
    return [found[number] for number in range(count)]


@contextmanager
def _worker(tasks: BinaryIO, given: BinaryIO, do: Callable[[int], bytes]) -> Iterator[None]:
    """A worker for the body, which is killed where the body is left early."""
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        _work(tasks, given, do, parent)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)  # one that has ended is there until it is waited for
        os.waitpid(pid, 0)


def _work(tasks: BinaryIO, given: BinaryIO, do: Callable[[int], bytes], parent: int) -> NoReturn:
    """In the child, which never returns to what the parent was doing."""
    try:
        # Past the buffer of the file, which would take the tasks of others.
        while os.getppid() == parent and (text := os.read(tasks.fileno(), _task.size)):
            (number,) = _task.unpack(text)
            try:
                answer, is_error = do(number), False
            except OcclumError as error:
                answer = json.dumps([one.to_json() for one in error.problems]).encode()
                is_error = True
            given.write(_answer.pack(number, len(answer), is_error) + answer)
            given.flush()
            if is_error:
                break
    finally:
        wrong = sys.exc_info()[1]
        if isinstance(wrong, Exception) and not isinstance(wrong, BrokenPipeError):
            traceback.print_exc()  # of a mistake of ours
            sys.stderr.flush()
        os._exit(wrong is not None)


def _pipe(stack: ExitStack) -> tuple[BinaryIO, BinaryIO]:
    read, write = os.pipe()
    return stack.enter_context(open(read, "rb")), stack.enter_context(open(write, "wb"))
