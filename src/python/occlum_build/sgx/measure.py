"""MRENCLAVE: SHA-256 over the ECREATE, EADD and EEXTEND records of loading an enclave.

The stream is hashed in batches of records that are reused, so memory stays small for any enclave.
"""

from __future__ import annotations

import hashlib
import struct
from array import array
from collections.abc import Sequence

from occlum_build.errors import OcclumError
from occlum_build.sgx.enclave_elf import Segment
from occlum_build.sgx.layout import Entry, Item
from occlum_build.sgx.layout_ids import EADD, EEXTEND, SI_TCS
from occlum_build.sgx.metadata_records import TCS_TEMPLATE
from occlum_build.sgx.records import PAGE_SIZE, round_up

# An enclave of 256 GiB has 4 GiB of records where its heap is added at start, some ten seconds.
MAX_RECORDS_BYTES = 8 << 30
MAX_RUNS = 1 << 17  # of pages: four and more a thread
_RECORD_SIZE = 64
_CHUNK_SIZE = 256
_CHUNKS = PAGE_SIZE // _CHUNK_SIZE
_EXTEND_SIZE = _RECORD_SIZE + _CHUNK_SIZE
_PAGE_RECORDS_SIZE = _RECORD_SIZE + _CHUNKS * _EXTEND_SIZE
_WORD = 8
_ZERO_PAGE = bytes(PAGE_SIZE)
_EADD_BATCH_PAGES = 8192
_EEXTEND_BATCH_PAGES = 64


def measure_enclave(
    image: bytes,
    segments: Sequence[Segment],
    items: Sequence[Item],
    *,
    tcs_template: bytes,
    ssa_frame_pages: int,
    range_size: int,
    image_offset: int,
) -> bytes:
    """MRENCLAVE (32 bytes) of a patched image with its layout.

    `range_size` is the size of the enclave's address range and `image_offset` the distance of the
    image from its start, in bytes (0 without an ELRANGE).
    """
    _check_work(segments, items)
    stream = _Stream(ssa_frame_pages, range_size, image_offset)
    for segment in segments:
        _add_segment(stream, image, segment)
    for index, item in enumerate(items):
        if isinstance(item, Entry):
            _add_entry(stream, item, 0, tcs_template)
            continue
        replayed = [
            entry
            for entry in items[index - item.entry_count : index]
            if isinstance(entry, Entry) and _is_added(entry)
        ]
        for turn in range(1, item.load_times + 1) if replayed else ():
            for entry in replayed:
                _add_entry(stream, entry, turn * item.load_step, tcs_template)
    return stream.digest()


def _check_work(segments: Sequence[Segment], items: Sequence[Item]) -> None:
    """Refuse, before it is done, what would take longer than any enclave does."""
    measured = sum(segment.memory_size // PAGE_SIZE + 2 for segment in segments)
    unmeasured, runs = 0, len(segments)
    for index, item in enumerate(items):
        times, entries = 1, [item]
        if not isinstance(item, Entry):
            times, entries = item.load_times, list(items[index - item.entry_count : index])
        for entry in entries:
            if isinstance(entry, Entry) and _is_added(entry):
                runs += times
                pages = times * entry.page_count
                measured += pages if entry.attributes & EEXTEND else 0
                unmeasured += 0 if entry.attributes & EEXTEND else pages
    size = unmeasured * _RECORD_SIZE + measured * _PAGE_RECORDS_SIZE
    if size <= MAX_RECORDS_BYTES and runs <= MAX_RUNS:
        return
    raise OcclumError(
        "enclave-layout",
        f"the enclave is too large to be measured: {unmeasured:,} pages, {measured:,} pages with "
        f"their contents and {runs:,} runs of them; more than {MAX_RECORDS_BYTES >> 30} GiB of "
        f"records (64 bytes a page, {_PAGE_RECORDS_SIZE:,} with its content) or {MAX_RUNS:,} runs "
        "are not hashed",
        hint="lower the heap, stack or reserved sizes, the number of threads, or the image's own",
    )


def _is_added(entry: Entry) -> bool:
    return bool(entry.attributes & EADD and entry.si_flags)


def _add_segment(stream: _Stream, image: bytes, segment: Segment) -> None:
    start = segment.address // PAGE_SIZE * PAGE_SIZE
    data = bytes(segment.address - start) if segment.file_size else b""
    data += image[segment.offset : segment.offset + segment.file_size]
    data += bytes(-len(data) % PAGE_SIZE)
    stream.add_data(start, segment.si_flags, data)
    rest = start + len(data)
    end = round_up(segment.address + segment.memory_size, PAGE_SIZE)
    stream.add_equal(rest, (end - rest) // PAGE_SIZE, segment.si_flags, _ZERO_PAGE)


def _add_entry(stream: _Stream, entry: Entry, delta: int, tcs_template: bytes) -> None:
    if not _is_added(entry):
        return
    rva = entry.rva + delta
    if not entry.attributes & EEXTEND:
        stream.add_unmeasured(rva, entry.page_count, entry.si_flags)
        return
    if entry.si_flags == SI_TCS:
        page = _tcs_page(tcs_template, rva)
    elif entry.content_size:
        page = struct.pack("<I", entry.content_size) * (PAGE_SIZE // 4)
    else:
        page = _ZERO_PAGE
    stream.add_equal(rva, entry.page_count, entry.si_flags, page)


def _tcs_page(template: bytes, rva: int) -> bytes:
    """The TCS of the thread at `rva`: the template holds distances from its own page."""
    fields = TCS_TEMPLATE.unpack(template)
    page = bytearray(template + bytes(PAGE_SIZE - len(template)))
    moved = {name: (fields[name] + rva) % 2**64 for name in ("ossa", "ofs_base", "ogs_base")}
    TCS_TEMPLATE.put(page, 0, **moved)
    return bytes(page)


class _Stream:
    """The hash of the records so far."""

    def __init__(self, ssa_frame_pages: int, range_size: int, image_offset: int) -> None:
        self._hash = hashlib.sha256(
            struct.pack("<8sIQ44x", b"ECREATE", ssa_frame_pages, range_size)
        )
        self._image_offset = image_offset

    def digest(self) -> bytes:
        return self._hash.digest()

    def add_unmeasured(self, rva: int, pages: int, si_flags: int) -> None:
        """Pages whose content is not measured, only that they are there."""
        batch = _Batch(min(pages, _EADD_BATCH_PAGES), _eadd(si_flags))
        for done in range(0, pages, _EADD_BATCH_PAGES):
            count = min(pages - done, _EADD_BATCH_PAGES)
            batch.set_offsets(0, rva + self._image_offset + done * PAGE_SIZE)
            self._hash.update(batch.head(count))

    def add_equal(self, rva: int, pages: int, si_flags: int, page: bytes) -> None:
        """Measured pages that all have the same content."""
        batch = _Batch(min(pages, _EEXTEND_BATCH_PAGES), _page_records(si_flags, page))
        for done in range(0, pages, _EEXTEND_BATCH_PAGES):
            count = min(pages - done, _EEXTEND_BATCH_PAGES)
            batch.set_page_offsets(rva + self._image_offset + done * PAGE_SIZE)
            self._hash.update(batch.head(count))

    def add_data(self, rva: int, si_flags: int, data: bytes) -> None:
        """Measured pages with this content, a whole number of pages."""
        pages = len(data) // PAGE_SIZE
        batch = _Batch(min(pages, _EEXTEND_BATCH_PAGES), _page_records(si_flags, _ZERO_PAGE))
        for done in range(0, pages, _EEXTEND_BATCH_PAGES):
            count = min(pages - done, _EEXTEND_BATCH_PAGES)
            batch.set_page_offsets(rva + self._image_offset + done * PAGE_SIZE)
            batch.set_pages(data, done, count)
            self._hash.update(batch.head(count))


def _eadd(si_flags: int) -> bytes:
    return struct.pack("<8sQQ40x", b"EADD", 0, si_flags)


def _page_records(si_flags: int, page: bytes) -> bytes:
    extend = struct.pack("<8sQ48x", b"EEXTEND", 0)
    chunks = (page[start : start + _CHUNK_SIZE] for start in range(0, PAGE_SIZE, _CHUNK_SIZE))
    return _eadd(si_flags) + b"".join(extend + chunk for chunk in chunks)


class _Batch:
    """The records of several pages in one buffer, of which only offsets and content change."""

    def __init__(self, pages: int, records: bytes) -> None:
        self._pages = pages
        self._size = len(records)
        self._words = array("Q", records * pages)
        self._bytes = memoryview(self._words).cast("B")

    def head(self, pages: int) -> memoryview:
        return self._bytes[: pages * self._size]

    def set_offsets(self, position: int, first: int) -> None:
        """Offsets `first`, `first` + a page ... in the record at byte `position` of each page."""
        offsets = range(first, first + self._pages * PAGE_SIZE, PAGE_SIZE)
        # Packed by struct and not by array: the bytes are little-endian on any host.
        words = array("Q", struct.pack(f"<{self._pages}Q", *offsets))
        self._words[position // _WORD + 1 :: self._size // _WORD] = words

    def set_page_offsets(self, first: int) -> None:
        self.set_offsets(0, first)
        for chunk in range(_CHUNKS):
            self.set_offsets(_RECORD_SIZE + chunk * _EXTEND_SIZE, first + chunk * _CHUNK_SIZE)

    def set_pages(self, data: bytes, first_page: int, pages: int) -> None:
        source = memoryview(data)
        for page in range(pages):
            source_start = (first_page + page) * PAGE_SIZE
            start = page * _PAGE_RECORDS_SIZE + 2 * _RECORD_SIZE
            for chunk in range(_CHUNKS):
                chunk_start = source_start + chunk * _CHUNK_SIZE
                position = start + chunk * _EXTEND_SIZE
                self._bytes[position : position + _CHUNK_SIZE] = source[
                    chunk_start : chunk_start + _CHUNK_SIZE
                ]
