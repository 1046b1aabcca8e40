"""Brings files of mirrors into a cache, some at a time; whoever stops that does not have to wait.

A thread may wait for a mirror that says nothing, up to half a minute. So these threads are daemons:
when they are stopped, what they have written so far is removed, and they end with the program.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.parts import remove_dead_parts
from occlum_build.files.reading import chunks_of
from occlum_build.packages.mirrors import Failure, Mirrors
from occlum_build.packages.urls import Wanted

PARALLEL = 8
ToFetch = tuple[Mirrors, Wanted, Path]


class _Job(NamedTuple):
    """A file that is to be fetched: where it is among those that are wanted, and its end."""

    number: int
    done: Future[list[Failure]]


def fetch_all(wanted: Sequence[ToFetch], parallel: int = PARALLEL) -> list[list[Failure]]:
    """Write files, some at a time; of each why it is nowhere to be had, nothing where it is there.

    A target that has the right bytes is left as it is. Raises OSError at a target.
    """
    todo = [n for n, (_, file, target) in enumerate(wanted) if not is_whole(target, file)]
    for target in {wanted[n][2].parent for n in todo}:
        target.mkdir(parents=True, exist_ok=True)
        remove_dead_parts(target)
    for mirrors, file, _ in (wanted[n] for n in todo):
        mirrors.expect(file.size)
    failures: list[list[Failure]] = [[] for _ in wanted]
    jobs = [_Job(n, Future()) for n in todo]
    left = deque(jobs)
    try:
        for _ in range(min(max(1, parallel), len(jobs))):
            Thread(target=_work, args=(left, wanted), daemon=True).start()
        for job in jobs:
            failures[job.number] = job.done.result()
    except BaseException:
        left.clear()
        for mirrors, _, _ in wanted:
            mirrors.stop()
        raise
    return failures


def _work(left: deque[_Job], wanted: Sequence[ToFetch]) -> None:
    """Fetch what is left, as another thread may."""
    while True:
        try:
            job = left.popleft()
        except IndexError:
            return
        mirrors, file, target = wanted[job.number]
        try:
            job.done.set_result(mirrors.file(file, target))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            job.done.set_exception(error)


def is_whole(path: Path, wanted: Wanted) -> bool:
    """Whether a file is there and has the right bytes."""
    digest = hashlib.sha256()
    try:
        if path.stat().st_size != wanted.size >= 0:
            return False
        for chunk in chunks_of(path):
            digest.update(chunk)
    except (OSError, OcclumError):
        return False
    return digest.hexdigest() == wanted.sha256
