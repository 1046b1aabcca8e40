"""Dynamic memory (EDMM, SGX2): which metadata versions an enclave serves, and the bookkeeping area.

The formulas count the allocations of the SDK's memory manager; docs/sgx-signing.md, section "EDMM".
"""

from __future__ import annotations

from occlum_build.sgx.attributes import Attributes
from occlum_build.sgx.enclave_elf import EnclaveElf
from occlum_build.sgx.layout import ThreadCounts
from occlum_build.sgx.layout_ids import SSA_FRAMES
from occlum_build.sgx.records import PAGE_SIZE, pages_of, round_up
from occlum_build.sgx.xml_config import EnclaveConfig, MemorySizes

SGX1, SGX2 = 1, 2
_AREA_UNIT = 0x10000
_EMA_SIZE = 72
_BIT_ARRAY_SIZE = 24


def metadata_versions(config: EnclaveConfig) -> int:
    """A mask of SGX1 and SGX2: the platforms that the metadata has to serve."""
    if config["UserRegionSize"]:
        return SGX2
    is_dynamic = (
        config.heap.is_dynamic
        or config.reserved.is_dynamic
        or config["StackMinSize"] != config["StackMaxSize"]
        or ThreadCounts.of(config).dynamic > 0
    )
    if not is_dynamic or not config["MiscSelect"] & 1:
        return SGX1
    return SGX2 if config["MiscMask"] & 1 else SGX1 | SGX2


def user_region_bytes(config: EnclaveConfig, bookkeeping: int) -> int:
    """The size of the region that holds the user's memory and the bookkeeping area, in bytes."""
    return config["UserRegionSize"] + bookkeeping + _AREA_UNIT


def bookkeeping_bytes(elf: EnclaveElf, config: EnclaveConfig, attributes: Attributes) -> int:
    """The bytes the memory manager needs to keep account of every region (edmm_bk_overhead)."""
    user_size = config["UserRegionSize"]
    total = max(round_up(user_size >> 15, PAGE_SIZE), PAGE_SIZE) if user_size else 0
    total += _levels(config.heap) + _levels(config.reserved)
    total += _threads(elf, config, attributes)
    total += sum(_node(pages_of(segment.memory_size)) for segment in elf.segments)
    return round_up(total + _allocation(_EMA_SIZE) + 32, _AREA_UNIT)


def _allocation(size: int) -> int:
    return max(16, round_up(size + 8, 8))


def _node(pages: int) -> int:
    """The account of one region: a node, its bit array, and a bit a page."""
    bits = _allocation(round_up(pages, 8) // 8)
    return _allocation(_EMA_SIZE) + _allocation(_BIT_ARRAY_SIZE) + bits


def _levels(sizes: MemorySizes) -> int:
    total = _node(pages_of(sizes.least))
    for growth in (sizes.init - sizes.least, sizes.greatest - sizes.init):
        if growth > 0:
            total += _node(pages_of(growth))
    return total


def _threads(elf: EnclaveElf, config: EnclaveConfig, attributes: Attributes) -> int:
    counts = ThreadCounts.of(config)
    node = _allocation(_EMA_SIZE)
    kept = 3 * node + _node(pages_of(config["StackMinSize"])) + _node(1)
    kept += _node(SSA_FRAMES * attributes.ssa_frame_pages) + _node(1 + pages_of(elf.tls_size))
    removed = 7 * node
    growth = config["StackMaxSize"] - config["StackMinSize"]
    if growth > 0:
        kept += _node(pages_of(growth))
        removed += node
    total = kept * (1 + counts.pool) + removed * (1 + counts.eremoved)
    if counts.dynamic:
        total += kept * (config.tcs_max_num - counts.pool)
    return total
