"""Which descriptors a run has: the standard streams, and those that are named, all else is closed.

What a shell or an engine has left open leads out of the root file system of a run.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Collection

from occlum_build.errors import OcclumError

CODE = "run"
STREAMS = (0, 1, 2)
_NAMES = {0: "standard input", 1: "standard output", 2: "standard error"}
_FIRST_OTHER = 3


def check_streams() -> None:
    """Raise OcclumError `run` where a standard stream is a directory: it leads out of the root."""
    for number, name in _NAMES.items():
        try:
            mode = os.fstat(number).st_mode
        except OSError:  # it is closed
            continue
        if stat.S_ISDIR(mode):
            text = f"{name} is a directory, in which programs would see this machine"
            raise OcclumError(CODE, text, hint="redirect it from a file, or from /dev/null")


def pipe_above_streams() -> tuple[int, int]:
    """A pipe whose ends are no standard streams, though some of those may be closed."""
    ends = os.pipe()
    above = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_OTHER) for end in ends]
    for end in ends:
        os.close(end)
    return above[0], above[1]


def close_others(kept: Collection[int]) -> None:
    """Close all but these and the standard streams; of those, what is closed reads nothing."""
    begin = _FIRST_OTHER
    for one in sorted({*kept} - {*STREAMS}):
        os.closerange(begin, one)
        begin = one + 1
    os.closerange(begin, _most(begin))
    while (number := os.open(os.devnull, os.O_RDWR)) < _FIRST_OTHER:
        pass
    os.close(number)


def _most(begin: int) -> int:
    """Above all descriptors: a limit may have been lowered since they were opened."""
    return max([begin, *(int(name) + 1 for name in os.listdir("/proc/self/fd"))])
