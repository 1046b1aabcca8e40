"""Time stamps of files, and when they tell that nothing was written since."""

from __future__ import annotations

import os
import time

_CLOCK_REALTIME_COARSE = 5  # of Linux, for which `time` has no name
# A file system whose time stamps have no more than this has ticks of up to two seconds.
_FINE_NS, _COARSE_TICK_NS = 10_000_000, 2_000_000_000
Numbers = tuple[int, int, int, int, int, int]


def file_clock_ns() -> int:
    """The time that the file systems of this machine give to what is written now."""
    return time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)


def stat_fields(found: os.stat_result) -> Numbers:
    """All that tells one state of what stands at a path from another one."""
    times = found.st_mtime_ns, found.st_ctime_ns
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, *times


def is_settled(ctime_ns: int, moment_ns: int) -> bool:
    """Is a time stamp of an earlier tick than a moment, so that what is written later has another?

    A tick is the finest difference of the file system, or two seconds where that may be coarse.
    """
    tick = _COARSE_TICK_NS if ctime_ns % _FINE_NS == 0 else 0
    return ctime_ns + tick < moment_ns
