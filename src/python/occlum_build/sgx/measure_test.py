"""The batched stream against one written down record by record."""

from __future__ import annotations

import hashlib
import struct

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx.enclave_elf import Segment
from occlum_build.sgx.layout import Entry, Group, Item
from occlum_build.sgx.layout_ids import EADD, EEXTEND, GUARD, HEAP_MIN, POST_ADD, SI_RW, STACK_MIN
from occlum_build.sgx.measure import _check_work, measure_enclave
from occlum_build.sgx.records import PAGE_SIZE

BASE = 0x10000  # distance of the image from the start of the range


def ecreate(size: int) -> bytes:
    return b"ECREATE\0" + struct.pack("<IQ", 1, size) + bytes(44)


def eadd(offset: int, si_flags: int) -> bytes:
    return b"EADD\0\0\0\0" + struct.pack("<QQ", BASE + offset, si_flags) + bytes(40)


def extended(offset: int, si_flags: int, page: bytes) -> bytes:
    parts = [eadd(offset, si_flags)]
    for chunk in range(0, PAGE_SIZE, 256):
        parts.append(b"EEXTEND\0" + struct.pack("<Q", BASE + offset + chunk) + bytes(48))
        parts.append(page[chunk : chunk + 256])
    return b"".join(parts)


def measured(image: bytes, segments: list[Segment], items: list[Item]) -> bytes:
    return measure_enclave(
        image,
        segments,
        items,
        tcs_template=bytes(72),
        ssa_frame_pages=1,
        range_size=1 << 30,
        image_offset=BASE,
    )


def test_segment_that_begins_and_ends_within_pages() -> None:
    image = bytes(range(1, 256)) * 1200  # 75 pages, more than a batch
    segment = Segment(100, 70 * PAGE_SIZE, 0x1F00, 73 * PAGE_SIZE, 0x203)
    memory = bytes(0xF00) + image[100 : 100 + segment.file_size]
    memory += bytes(74 * PAGE_SIZE - len(memory))
    expected = ecreate(1 << 30) + b"".join(
        extended(0x1000 + start, 0x203, memory[start : start + PAGE_SIZE])
        for start in range(0, len(memory), PAGE_SIZE)
    )
    assert measured(image, [segment], []) == hashlib.sha256(expected).digest()


def test_segment_without_file_content() -> None:
    expected = ecreate(1 << 30) + extended(0x1000, 0x203, bytes(PAGE_SIZE))
    segment = Segment(0, 0, 0x1800, 0x100, 0x203)
    assert measured(b"", [segment], []) == hashlib.sha256(expected).digest()


def test_layout_entries_and_groups() -> None:
    heap = Entry(HEAP_MIN, 10000, EADD, SI_RW, rva=0x100000)
    later = Entry(HEAP_MIN, 5, POST_ADD, SI_RW, rva=0x4000000)
    guard = Entry(GUARD, 16, rva=0x5000000)
    stack = Entry(STACK_MIN, 65, EADD | EEXTEND, SI_RW, 0xCCCCCCCC, rva=0x5010000)
    step = guard.size + stack.size
    expected = [ecreate(1 << 30)]
    expected += [eadd(heap.rva + page * PAGE_SIZE, SI_RW) for page in range(heap.page_count)]
    expected += [
        extended(stack.rva + turn * step + page * PAGE_SIZE, SI_RW, b"\xcc" * PAGE_SIZE)
        for turn in range(3)
        for page in range(stack.page_count)
    ]
    items: list[Item] = [heap, later, guard, stack, Group(0x1009, 2, 2, step)]
    assert measured(b"", [], items) == hashlib.sha256(b"".join(expected)).digest()


def test_an_enclave_of_any_size_is_refused_before_it_is_measured() -> None:
    heap = Entry(HEAP_MIN, 1 << 28, EADD, SI_RW)
    stack = Entry(STACK_MIN, 64, EADD | EEXTEND, SI_RW)
    many = Entry(STACK_MIN, 1, EADD | EEXTEND, SI_RW)
    image = Segment(0, 0, 0, 32 << 30, 0x203)
    cases: list[tuple[list[Segment], list[Item]]] = [
        ([image], []),
        ([], [heap]),
        ([], [stack, Group(0x1009, 1, 1_000_000, stack.size)]),
        ([], [many, Group(0x1009, 1, 1 << 17, many.size)]),
    ]
    for segments, items in cases:
        with pytest.raises(OcclumError, match="too large to be measured: ") as error:
            measured(b"", segments, items)
        assert error.value.code == "enclave-layout"
        assert "8 GiB of records" in str(error.value) and "131,072 runs" in str(error.value)


def test_an_enclave_of_64_gib_is_not() -> None:
    heap = Entry(HEAP_MIN, 1 << 24, EADD, SI_RW)
    thread = Entry(STACK_MIN, 256, EADD | EEXTEND, SI_RW)
    _check_work([Segment(0, 0, 0, 256 << 20, 0x203)], [heap, thread, Group(0x1009, 1, 255)])
