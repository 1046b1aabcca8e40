"""What tests of locks, changes and writers share."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Callable

from occlum_build.errors import OcclumError
from occlum_build.files.change import Change
from occlum_build.files.moves import Move


def in_another_thread(function: Callable[[], object]) -> list[OcclumError]:
    """The errors of a function that is called where nothing is locked yet."""
    errors: list[OcclumError] = []

    def call() -> None:
        try:
            function()
        except OcclumError as error:
            errors.append(error)

    thread = Thread(target=call)
    thread.start()
    thread.join()
    return errors


def content(folder: Path) -> dict[str, str]:
    """All below a directory, directories as "/"."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() if path.is_file() else "/"
        for path in sorted(folder.rglob("*"))
    }


def two_files(folder: Path, other: Path | None = None) -> None:
    with Change() as change:
        change.write(folder / "a", b"new a")
        change.write((other or folder) / "b", b"new b")
        change.commit()


def killed(function: Callable[[], None], after: int) -> None:
    """Call a function in a process that is killed after that many moves of its commit."""
    child = os.fork()
    if child == 0:
        forth = Move.forth
        made = 0

        def counted(move: Move) -> None:
            nonlocal made
            if made == after:
                os.kill(os.getpid(), signal.SIGKILL)
            made += 1
            forth(move)

        Move.forth = counted  # type: ignore[assignment, method-assign]
        try:
            function()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within it a write beyond so many bytes fails as on a full disk, but with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
