"""The memory layout of an enclave behind its image: heap, threads, reserved memory, guards.

Built as the sign tool of the SGX SDK 2.20 does; docs/sgx-signing.md, section "Layout".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Union

from occlum_build.errors import OcclumError
from occlum_build.sgx.attributes import Attributes
from occlum_build.sgx.enclave_elf import EnclaveElf
from occlum_build.sgx.layout_ids import (
    DYN_THREAD,
    DYNAMIC_TWIN,
    EADD,
    EEXTEND,
    EREMOVE,
    GROW_DOWN,
    GUARD,
    GUARD_PAGES,
    HEAP_INIT,
    HEAP_MAX,
    HEAP_MIN,
    POST_ADD,
    POST_REMOVE,
    RSRV_INIT,
    RSRV_MAX,
    RSRV_MIN,
    SI_RW,
    SI_RWX,
    SI_TCS,
    SSA,
    SSA_FRAMES,
    STACK_FILL,
    STACK_MAX,
    STACK_MIN,
    TCS,
    TCS_TEMPLATE_SIZE,
    TD,
    THREAD_GROUP,
    THREAD_GROUP_DYN,
    USER_REGION,
)
from occlum_build.sgx.records import PAGE_SIZE, pages_of
from occlum_build.sgx.xml_config import EnclaveConfig, MemorySizes

MAX_PAGES = 2**32 - 1
MAX_ENCLAVE_BYTES = 1 << 56


@dataclass(frozen=True)
class Entry:
    """A run of pages; `rva` is its distance from the image's base in bytes."""

    id: int
    page_count: int
    attributes: int = 0
    si_flags: int = 0
    content_size: int = 0
    content_offset: int = 0
    rva: int = 0

    @property
    def size(self) -> int:
        return self.page_count * PAGE_SIZE


@dataclass(frozen=True)
class Group:
    """Says that the `entry_count` entries before it come `load_times` times more."""

    id: int
    entry_count: int
    load_times: int
    load_step: int = 0


Item = Union[Entry, Group]


@dataclass(frozen=True)
class ThreadCounts:
    """How many threads, besides the utility thread, are of which kind."""

    pool: int
    eremoved: int
    dynamic: int

    @classmethod
    def of(cls, config: EnclaveConfig) -> ThreadCounts:
        others = config["TCSNum"] - 1
        pool = min(config["TCSMinPool"], others)
        eremoved = max(0, others - config["TCSMinPool"])
        return cls(pool, eremoved, max(0, config.tcs_max_num - pool - 1))


@dataclass(frozen=True)
class Layout:
    """The layout table with addresses; `end` is where the final guard begins, in bytes."""

    items: tuple[Item, ...]
    end: int
    enclave_size: int

    def first(self, entry_id: int) -> Entry:
        """The first entry with this id, one that every enclave has."""
        return next(item for item in self.items if isinstance(item, Entry) and item.id == entry_id)

    def has(self, entry_id: int) -> bool:
        return any(item.id == entry_id for item in self.items)


def build_layout(
    elf: EnclaveElf,
    config: EnclaveConfig,
    attributes: Attributes,
    *,
    tcs_content_offset: int,
    user_region_size: int | None,
) -> Layout:
    """The layout of an enclave; `user_region_size` (bytes) is None where there is no such region.

    Raises OcclumError `enclave-layout` when it does not fit the address space or the ELRANGE.
    """
    thread = _thread_template(elf, config, attributes, tcs_content_offset)
    items = _heap(config.heap)
    items += [_utility_entry(entry) for entry in thread]
    items += _more_threads(thread, ThreadCounts.of(config))
    items += _reserved(config.reserved, executable=bool(config["ReservedMemExecutable"]))
    if user_region_size is not None:
        items.append(Entry(USER_REGION, pages_of(user_region_size), POST_ADD, SI_RW))
    placed, end = _place(items, elf.image_end)
    enclave_size = 1 << (end - 1).bit_length()
    if enclave_size > end:
        guard = Entry(GUARD, pages_of(enclave_size - end), rva=end)
        _check_page_count(guard)
        placed.append(guard)
    if enclave_size > MAX_ENCLAVE_BYTES:
        raise _too_large(
            f"{enclave_size:#x} bytes; no CPU addresses more than {MAX_ENCLAVE_BYTES:#x}"
        )
    _check_elrange(config, enclave_size)
    return Layout(tuple(placed), end, enclave_size)


def _levels(
    sizes: MemorySizes, ids: tuple[int, int, int], si_flags: int, max_si_flags: int
) -> list[Item]:
    least, init, greatest = ids
    items: list[Item] = [Entry(least, pages_of(sizes.least), EADD, si_flags)]
    if sizes.init > sizes.least:
        pages = pages_of(sizes.init - sizes.least)
        items.append(Entry(init, pages, EADD | POST_REMOVE | POST_ADD, si_flags))
    if sizes.greatest > sizes.init:
        items.append(Entry(greatest, pages_of(sizes.greatest - sizes.init), POST_ADD, max_si_flags))
    return items


def _heap(sizes: MemorySizes) -> list[Item]:
    return _levels(sizes, (HEAP_MIN, HEAP_INIT, HEAP_MAX), SI_RW, SI_RW)


def _reserved(sizes: MemorySizes, *, executable: bool) -> list[Item]:
    if not (sizes.least or sizes.init or sizes.greatest):
        return []
    # The part that is added at run time is never executable at first, whatever was asked for.
    si_flags = SI_RWX if executable else SI_RW
    return _levels(sizes, (RSRV_MIN, RSRV_INIT, RSRV_MAX), si_flags, SI_RW)


def _thread_template(
    elf: EnclaveElf, config: EnclaveConfig, attributes: Attributes, tcs_content_offset: int
) -> list[Entry]:
    """One thread: guard, stack, guard, TCS, save-state area, guard, thread data with TLS."""
    measured = EADD | EEXTEND
    guard = Entry(GUARD, GUARD_PAGES)
    stack_min, stack_max = config["StackMinSize"], config["StackMaxSize"]
    growing = Entry(
        STACK_MAX, pages_of(stack_max - stack_min), measured | GROW_DOWN, SI_RW, STACK_FILL
    )
    return [
        guard,
        *([growing] if growing.page_count else []),
        Entry(STACK_MIN, pages_of(stack_min), measured, SI_RW, STACK_FILL),
        guard,
        Entry(TCS, 1, measured, SI_TCS, TCS_TEMPLATE_SIZE, tcs_content_offset),
        Entry(SSA, attributes.ssa_frame_pages * SSA_FRAMES, measured, SI_RW),
        guard,
        Entry(TD, 1 + pages_of(elf.tls_size), measured, SI_RW),
    ]


def _utility_entry(entry: Entry) -> Entry:
    if entry.id != STACK_MAX:
        return entry
    return replace(entry, attributes=entry.attributes | POST_ADD | POST_REMOVE)


def _eremoved_entry(entry: Entry) -> Entry:
    return entry if entry.id == GUARD else replace(entry, attributes=entry.attributes | EREMOVE)


def _dynamic_entry(entry: Entry) -> Entry:
    if entry.id == GUARD:
        return entry
    kind = GROW_DOWN if entry.id == STACK_MAX else DYN_THREAD
    return replace(entry, id=entry.id + DYNAMIC_TWIN, attributes=POST_ADD | kind)


def _more_threads(thread: list[Entry], counts: ThreadCounts) -> list[Item]:
    items: list[Item] = []
    for count, entries in (
        (counts.pool, thread),
        (counts.eremoved, [_eremoved_entry(entry) for entry in thread]),
    ):
        if count > 0:
            items += entries
        if count > 1:
            items.append(Group(THREAD_GROUP, len(thread), count - 1))
    if counts.dynamic:
        items += [_dynamic_entry(entry) for entry in thread]
        items.append(Group(THREAD_GROUP_DYN, len(thread), counts.dynamic))
    return items


def _place(items: Iterable[Item], start: int) -> tuple[list[Item], int]:
    """Give entries their addresses and groups their step; also where the last of them ends."""
    placed: list[Item] = []
    rva = start
    for item in items:
        if isinstance(item, Entry):
            _check_page_count(item)
            placed.append(replace(item, rva=rva))
            rva += item.size
        else:
            step = group_step(placed[-item.entry_count :])
            placed.append(replace(item, load_step=step))
            rva += step * item.load_times
    return placed, rva


def group_step(items: Iterable[Item]) -> int:
    """The bytes that a group advances each time: the sum of the sizes of its entries."""
    return sum(item.size for item in items if isinstance(item, Entry))


def _check_page_count(entry: Entry) -> None:
    if entry.page_count > MAX_PAGES:
        raise _too_large(
            f"{entry.page_count} pages in one region, the layout table has room for {MAX_PAGES}"
        )


def _too_large(what: str) -> OcclumError:
    return OcclumError(
        "enclave-layout",
        f"the enclave is too large: {what}",
        hint="lower the heap, stack, reserved or user region sizes, or the number of threads",
    )


def _check_elrange(config: EnclaveConfig, enclave_size: int) -> None:
    elrange = config.elrange
    if elrange is not None and elrange.image_offset + enclave_size > elrange.size:
        raise OcclumError(
            "enclave-layout",
            f"ELRangeSize {elrange.size:#x} does not hold the enclave: {enclave_size:#x} bytes"
            f" at {elrange.image_offset:#x} from ELRangeStartAddress",
            place=config.places.get("ELRangeSize"),
        )
