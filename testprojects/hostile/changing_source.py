"""A file that changes while a command runs, in each way that a file can."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from hostile.injected import STOP, Call, Injector, Ran

OLD, NEW, SECRET = b"old " * 300_000, b"new " * 300_000, b"nobody's secret " * 75_000
TIME = 1_500_000_000_123_456_789


def overwrite(file: Path) -> None:
    """In place, with the time that it had."""
    with open(file, "r+b") as stream:
        stream.write(NEW)
    os.utime(file, ns=(TIME, TIME))


def append(file: Path) -> None:
    with open(file, "ab") as stream:
        stream.write(NEW)
    os.utime(file, ns=(TIME, TIME))


def shorten(file: Path) -> None:
    os.truncate(file, 1000)
    os.utime(file, ns=(TIME, TIME))


def replace(file: Path) -> None:
    """By a file of the same size and time."""
    twin = file.with_name("twin")
    twin.write_bytes(NEW)
    os.utime(twin, ns=(TIME, TIME))
    twin.replace(file)


def by_link(file: Path) -> None:
    file.unlink()
    file.symlink_to(file.parents[2] / "outside/f")


def by_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def parent_by_link(file: Path) -> None:
    file.parent.rename(file.parent.with_name("moved"))
    file.parent.symlink_to(file.parents[2] / "outside")


IN_PLACE = (overwrite, append, shorten)
CHANGES = (*IN_PLACE, replace, by_link, by_fifo, by_directory, Path.unlink, parent_by_link)
# What the file may hold as a whole.
WHOLE = {OLD, NEW, OLD + NEW, OLD[:1000]}


class Case:
    """`ws/src/f` is the source that changes; `outside/f` a secret with the same name."""

    def __init__(self, top: Path, counted: Counter[str]) -> None:
        self.top, self.ws = top, top / "ws"
        self.counted = counted
        self.file = self.ws / "src/f"

    def make(self) -> None:
        shutil.rmtree(self.top)
        self.top.mkdir()
        for path, content in (
            (self.file, OLD),
            (self.top / "outside/f", SECRET),
        ):
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
        os.utime(self.file, ns=(TIME, TIME))

    def stopped(
        self, injector: Injector, call: Call, change: Callable[[Path], object], step: int
    ) -> Iterator[Ran]:
        """The runs in which the file changed before each system call, or each `step`th one."""
        at = 1
        while True:
            self.make()
            time.sleep(0.01)  # a tick of the times of files
            ran = injector.run(call, at=at, error=STOP, meanwhile=lambda: change(self.file))
            if not ran.hit:
                return
            assert not ran.has_traceback, ran
            assert ran.code >= 0, ran
            self.counted[call.arguments[0][0]] += 1
            yield ran
            at += step
