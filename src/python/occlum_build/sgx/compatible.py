"""Compatible metadata: the layout table that loaders of SGX1 platforms understand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from occlum_build.sgx.layout import Entry, Group, Item, Layout, group_step
from occlum_build.sgx.layout_ids import (
    GUARD,
    HEAP_INIT,
    HEAP_MAX,
    POST_ADD,
    RSRV_INIT,
    RSRV_MAX,
    RSRV_MIN,
    STACK_MAX,
    TD,
    THREAD_GROUP,
)

_CLEANED = (HEAP_MAX, HEAP_INIT, STACK_MAX)
_RESERVED = (RSRV_MIN, RSRV_INIT, RSRV_MAX)
# Memory that would only be added at run time: no page flags either.
_UNADDED = (HEAP_MAX, RSRV_MAX)


def compatible_items(layout: Layout, tcs_num: int) -> tuple[Item, ...]:
    """The shortened table: all threads as repetitions of the utility thread, nothing dynamic."""
    items = layout.items
    start = _index_of(items, GUARD)
    end = _index_of(items, TD)
    following = items[end + 1].id if end + 1 < len(items) else None
    if following is None or following == RSRV_MIN:
        return tuple(_static(items))
    thread = items[start : end + 1]
    group = Group(THREAD_GROUP, len(thread), tcs_num - 1, group_step(thread))
    reserved = [item for item in items if item.id in _RESERVED]
    return tuple(_static([*items[: end + 1], group, *reserved]))


def _index_of(items: Sequence[Item], entry_id: int) -> int:
    return next(index for index, item in enumerate(items) if item.id == entry_id)


def _static(items: Sequence[Item]) -> list[Item]:
    """Clear what asks for pages at run time: at the first heap and stack entries, and reserved."""
    seen: list[int] = []
    result: list[Item] = []
    for item in items:
        if isinstance(item, Entry) and item.id not in seen:
            seen.append(item.id)
            item = _static_entry(item)
        result.append(item)
    return result


def _static_entry(entry: Entry) -> Entry:
    if entry.id not in _CLEANED and entry.id not in (RSRV_INIT, RSRV_MAX):
        return entry
    si_flags = 0 if entry.id in _UNADDED else entry.si_flags
    return replace(entry, attributes=entry.attributes & ~POST_ADD, si_flags=si_flags)
