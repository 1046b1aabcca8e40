"""The records in an enclave's metadata, SGX SDK 2.20: offsets in bytes, all little-endian."""

from __future__ import annotations

from occlum_build.sgx.records import Record

SIGSTRUCT_OFFSET = 64
DATA_OFFSET = 1888

METADATA_HEADER = Record(
    DATA_OFFSET,
    {
        "magic": (0, "Q"),
        "version": (8, "Q"),
        "size": (16, "I"),
        "tcs_policy": (20, "I"),
        "ssa_frame_size": (24, "I"),
        "max_save_buffer_size": (28, "I"),
        "desired_misc_select": (32, "I"),
        "tcs_min_pool": (36, "I"),
        "enclave_size": (40, "Q"),
        "flags": (48, "Q"),
        "xfrm": (56, "Q"),
        "patch_offset": (1872, "I"),
        "patch_size": (1876, "I"),
        "layout_offset": (1880, "I"),
        "layout_size": (1884, "I"),
    },
)

LAYOUT_ENTRY = Record(
    32,
    {
        "id": (0, "H"),
        "attributes": (2, "H"),
        "page_count": (4, "I"),
        "rva": (8, "Q"),
        "content_size": (16, "I"),
        "content_offset": (20, "I"),
        "si_flags": (24, "Q"),
    },
)

LAYOUT_GROUP = Record(
    32, {"id": (0, "H"), "entry_count": (2, "H"), "load_times": (4, "I"), "load_step": (8, "Q")}
)

PATCH = Record(32, {"destination": (0, "Q"), "source": (8, "I"), "size": (12, "I")})

DATA_DIRECTORY = Record(8, {"offset": (0, "I"), "size": (4, "I")})

ELRANGE = Record(24, {"image_address": (0, "Q"), "start": (8, "Q"), "size": (16, "Q")})

TCS_TEMPLATE = Record(
    72,
    {
        "flags": (8, "Q"),
        "ossa": (16, "Q"),
        "cssa": (24, "I"),
        "nssa": (28, "I"),
        "oentry": (32, "Q"),
        "ofs_base": (48, "Q"),
        "ogs_base": (56, "Q"),
        "ofs_limit": (64, "I"),
        "ogs_limit": (68, "I"),
    },
)

THREAD_DATA = Record(
    192,
    {
        "self_addr": (0, "Q"),
        "last_sp": (8, "Q"),
        "stack_base_addr": (16, "Q"),
        "stack_limit_addr": (24, "Q"),
        "first_ssa_gpr": (32, "Q"),
        "xsave_size": (56, "Q"),
        "first_ssa_xsave": (88, "Q"),
        "tls_addr": (104, "Q"),
        "tls_array": (112, "Q"),
    },
)

GLOBAL_DATA = Record(
    1760,
    {
        "sdk_version": (0, "Q"),
        "enclave_size": (8, "Q"),
        "heap_offset": (16, "Q"),
        "heap_size": (24, "Q"),
        "rsrv_offset": (32, "Q"),
        "rsrv_size": (40, "Q"),
        "rsrv_executable": (48, "Q"),
        "thread_policy": (56, "Q"),
        "tcs_max_num": (64, "Q"),
        "tcs_num": (72, "Q"),
        "td_template": (80, "192s"),
        "tcs_template": (272, "72s"),
        "layout_entry_num": (344, "I"),
        "layout_table": (352, "1376s"),  # 43 items, the most a configuration makes
        "enclave_image_address": (1728, "Q"),
        "elrange_start_address": (1736, "Q"),
        "elrange_size": (1744, "Q"),
        "edmm_bk_overhead": (1752, "Q"),
    },
)
