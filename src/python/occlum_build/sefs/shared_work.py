"""How the writing of an image is shared out among processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from occlum_build.sefs.pf_format import DATA_PER_MHT, ENTRY_SIZE, GROUP_SIZE, Layout

# Less than this is written before another process has begun.
SHARED_BYTES = 16 << 20
MOST_TASKS = 8192  # for which there is room in the queue of `share_work`
_TASK_BYTES = 8 << 20
_FILE_BYTES = 16 << 10  # what a file costs beside its bytes


class Work(NamedTuple):
    """A task: to write the entries [start:end], or of one entry only groups of nodes."""

    start: int
    end: int
    groups: range | None = None


def shared_work(sizes: Sequence[int]) -> list[Work]:
    """The tasks, no more than MOST_TASKS, that write entries of these sizes in bytes."""
    total = sum(sizes) + len(sizes) * _FILE_BYTES
    most = max(_TASK_BYTES, 4 * total // MOST_TASKS)
    found: list[Work] = []
    start = waiting = 0
    for number, size in enumerate([*sizes, most]):
        is_large = size >= most
        if start < number and (is_large or waiting + size > most):
            found.append(Work(start, number))
            start, waiting = number, 0
        waiting += size + _FILE_BYTES
        if is_large and number < len(sizes):
            found += [Work(number, number + 1, groups) for groups in _cut(size, most)]
            start, waiting = number + 1, 0
    return found


def _cut(size: int, most: int) -> list[range]:
    groups, step = Layout(size).mht_nodes, most // GROUP_SIZE
    return [range(first, min(first + step, groups)) for first in range(0, groups, step)]


def split_groups(text: bytes, size: int) -> list[bytes]:
    """What `PfWriter.write_groups` gave for all groups of a file of `size` bytes, in a row."""
    layout, found, start = Layout(size), [], 0
    for mht in range(layout.mht_nodes):
        # Only the first groups have MHT nodes with children, and so entries of all data nodes.
        has_children = mht < layout.mht_nodes_with_children
        end = start + ENTRY_SIZE * (DATA_PER_MHT if has_children else 1)
        found.append(text[start:end])
        start = end
    return found
