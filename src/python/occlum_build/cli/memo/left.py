"""What a run of `copy-bom` leaves of an image, with the stat data that it is known by."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Sequence

from occlum_build.cli.memo.clock import file_clock_ns, is_settled, stat_fields
from occlum_build.cli.memo.model import ENTRY_FIELDS, FIELDS, Memo
from occlum_build.image.existing import named_by, others_than

_TICK_S, _MOST_TICKS = 0.001, 20
_MTIME = 4  # of `stat_fields`


def note_left(memo: Memo, followed: Collection[str], others: Sequence[str], moment_ns: int) -> bool:
    """Write what is left into a memo; False where it is not, or not surely, what was written.

    `others` is what is there besides the entries and the links `followed`. What was written to
    since `moment_ns` is not surely what the run left.
    """
    prefix = memo.root.rstrip("/") + "/"
    memo.left_numbers = []
    left = [entry[0] for entry in memo.entries]
    memo.more = sorted(named_by(left, followed).difference(left))
    left += memo.more
    by_path = {"": os.lstat(prefix)}  # each directory before it is listed
    if others_than(memo.root, set(left), by_path) != list(others) or len(by_path) != len(left):
        return False
    found = [by_path[path] for path in left]
    if not all(is_settled(one.st_ctime_ns, moment_ns) for one in found):
        return False
    if not all(map(_is_as_planned, _planned(memo, prefix), found)):
        return False
    memo.left_numbers = [number for one in found for number in stat_fields(one)]
    return True


def next_tick(before_ns: int) -> int:
    """Wait until what was written up to a time has an earlier time stamp than what is written then.

    The time then, 0 where it does not come. To be called before somebody else can write to the
    image, with what `time` tells: newer kernels' time stamps may be as fine as that.
    """
    for _ in range(_MOST_TICKS):
        now = file_clock_ns()
        if now > before_ns:
            return now
        time.sleep(_TICK_S)
    return 0


_Planned = tuple[str, str, int, int, int]  # path, target, mode with kind, size, mtime or -1


def _planned(memo: Memo, prefix: str) -> list[_Planned]:
    """What each entry is to be."""
    columns = [memo.entry_numbers[one::ENTRY_FIELDS] for one in range(ENTRY_FIELDS)]
    mtimes = [*memo.file_numbers[_MTIME::FIELDS], -1]  # the last is that of no source
    return [
        (prefix + path, target, mode, size, mtimes[place])
        for (path, target), mode, size, place in zip(memo.entries, *columns)
    ]


def _is_as_planned(planned: _Planned, found: os.stat_result) -> bool:
    path, target, mode, size, mtime = planned
    if stat.S_IFMT(found.st_mode) != stat.S_IFMT(mode):
        return False
    if stat.S_ISLNK(mode):
        return os.readlink(path) == target
    if mtime >= 0 and found.st_mtime_ns != mtime:
        return False
    if stat.S_ISDIR(mode):
        return found.st_mode == mode or path.endswith("/")  # our own image's mode is nobody's
    return (found.st_mode, found.st_size) == (mode, size)
