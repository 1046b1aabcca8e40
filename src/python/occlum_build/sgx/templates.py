"""What the loader copies into a running enclave: the TCS and global data templates."""

from __future__ import annotations

from collections.abc import Iterable

from occlum_build.sgx.attributes import SSA_GPR_SIZE, Attributes
from occlum_build.sgx.enclave_elf import EnclaveElf
from occlum_build.sgx.layout import Entry, Item, Layout
from occlum_build.sgx.layout_ids import HEAP_MIN, RSRV_MIN, SSA, SSA_FRAMES, STACK_MIN, TCS, TD
from occlum_build.sgx.metadata_records import (
    GLOBAL_DATA,
    LAYOUT_ENTRY,
    LAYOUT_GROUP,
    TCS_TEMPLATE,
    THREAD_DATA,
)
from occlum_build.sgx.records import PAGE_SIZE
from occlum_build.sgx.xml_config import EnclaveConfig, MemorySizes

_TCS_FLAG_AEX_NOTIFY = 2
_U64 = 2**64
_TLS_ARRAY_DISTANCE = 104


def tcs_template(elf: EnclaveElf, config: EnclaveConfig, layout: Layout) -> bytes:
    """The 72 bytes of a TCS that are not zero; addresses are distances from the TCS's own page."""
    tcs = layout.first(TCS).rva
    image_offset = config.elrange.image_offset if config.elrange else 0
    base = _thread_data_address(layout) - tcs + image_offset
    return TCS_TEMPLATE.pack(
        flags=_TCS_FLAG_AEX_NOTIFY if config["EnableAEXNotify"] else 0,
        ossa=layout.first(SSA).rva - tcs + image_offset,
        nssa=SSA_FRAMES,
        oentry=elf.entry_address + image_offset,
        ofs_base=base,
        ogs_base=base,
        ofs_limit=0xFFFFFFFF,
        ogs_limit=0xFFFFFFFF,
    )


def layout_table(items: Iterable[Item]) -> bytes:
    """The layout table as it stands in metadata and global data, 32 bytes an item."""
    return b"".join(_layout_record(item) for item in items)


def _layout_record(item: Item) -> bytes:
    if isinstance(item, Entry):
        return LAYOUT_ENTRY.pack(
            id=item.id,
            attributes=item.attributes,
            page_count=item.page_count,
            rva=item.rva,
            content_size=item.content_size,
            content_offset=item.content_offset,
            si_flags=item.si_flags,
        )
    return LAYOUT_GROUP.pack(
        id=item.id,
        entry_count=item.entry_count,
        load_times=item.load_times,
        load_step=item.load_step,
    )


def global_data(
    elf: EnclaveElf,
    config: EnclaveConfig,
    attributes: Attributes,
    layout: Layout,
    bookkeeping: int,
) -> bytes:
    """The 1760 bytes that replace g_global_data when the enclave is loaded (SDK version: 0)."""
    # Without reserved memory all its fields are zero, the executable flag too.
    reserved = config.reserved if layout.has(RSRV_MIN) else MemorySizes(0, 0, 0)
    elrange = config.elrange
    return GLOBAL_DATA.pack(
        enclave_size=layout.enclave_size,
        heap_offset=layout.first(HEAP_MIN).rva,
        heap_size=config.heap.init,
        rsrv_offset=layout.first(RSRV_MIN).rva if layout.has(RSRV_MIN) else 0,
        rsrv_size=reserved.init,
        rsrv_executable=config["ReservedMemExecutable"] if layout.has(RSRV_MIN) else 0,
        thread_policy=config["TCSPolicy"],
        tcs_max_num=config.tcs_max_num,
        tcs_num=config["TCSNum"],
        td_template=_thread_data(elf, config, attributes, layout),
        tcs_template=tcs_template(elf, config, layout),
        layout_entry_num=len(layout.items),
        layout_table=layout_table(layout.items),
        enclave_image_address=elrange.image_address if elrange else 0,
        elrange_start_address=elrange.start if elrange else 0,
        elrange_size=elrange.size if elrange else layout.enclave_size,
        edmm_bk_overhead=bookkeeping,
    )


def _thread_data_address(layout: Layout) -> int:
    """The last page of the TD entry holds the thread data; the pages before it are TLS."""
    thread_data = layout.first(TD)
    return thread_data.rva + thread_data.size - PAGE_SIZE


def _thread_data(
    elf: EnclaveElf, config: EnclaveConfig, attributes: Attributes, layout: Layout
) -> bytes:
    """The thread data of the utility thread; addresses are distances from its TCS."""
    tcs = layout.first(TCS).rva
    own = _thread_data_address(layout) - tcs
    stack = layout.first(STACK_MIN)
    stack_base = stack.rva + stack.size - tcs
    ssa = layout.first(SSA).rva - tcs
    gpr = ssa + attributes.ssa_frame_pages * PAGE_SIZE - SSA_GPR_SIZE
    fields = {
        "self_addr": own,
        "last_sp": stack_base,
        "stack_base_addr": stack_base,
        "stack_limit_addr": stack_base - config["StackMaxSize"],
        "first_ssa_gpr": gpr,
        "xsave_size": attributes.xsave_size,
        "first_ssa_xsave": ssa,
        "tls_addr": own - elf.tls_size,
        "tls_array": own + _TLS_ARRAY_DISTANCE,
    }
    return THREAD_DATA.pack(**{name: value % _U64 for name, value in fields.items()})
