"""The 0x5000 bytes of metadata in an enclave file: SIGSTRUCT, templates, patches, layout table."""

from __future__ import annotations

from dataclasses import dataclass

from occlum_build.sgx.attributes import Attributes
from occlum_build.sgx.compatible import compatible_items
from occlum_build.sgx.edmm import (
    SGX1,
    SGX2,
    bookkeeping_bytes,
    metadata_versions,
    user_region_bytes,
)
from occlum_build.sgx.enclave_elf import METADATA_MAGIC, METADATA_SIZE, EnclaveElf
from occlum_build.sgx.layout import Item, Layout, build_layout
from occlum_build.sgx.metadata_records import (
    DATA_DIRECTORY,
    DATA_OFFSET,
    ELRANGE,
    GLOBAL_DATA,
    LAYOUT_ENTRY,
    METADATA_HEADER,
    PATCH,
    TCS_TEMPLATE,
)
from occlum_build.sgx.templates import global_data, layout_table, tcs_template
from occlum_build.sgx.xml_config import EnclaveConfig

_VERSION = (3, 0)
_COMPATIBLE_VERSION = (1, 4)
_ELRANGE_MAJOR = 10  # added to the major version where there is an ELRANGE
_ZERO_SIZE = 8
# Section headers are not loaded, so what points at them must not count in the measurement.
_UNMEASURED_ELF_HEADER = ((60, 2), (40, 8), (62, 2))  # e_shnum, e_shoff, e_shstrndx


@dataclass(frozen=True)
class Metadata:
    """Metadata without a SIGSTRUCT, and what was worked out on the way to it."""

    data: bytes
    copies: tuple[int, ...]
    """Where in `data` each copy of the metadata begins; a SIGSTRUCT belongs into every one."""
    layout: Layout
    tcs_template: bytes
    patches: tuple[tuple[int, bytes], ...]
    """File offset and content to put into the image before it is measured."""


@dataclass(frozen=True)
class _Offsets:
    """Where each allocation lies in the metadata, in bytes, in the order of the sign tool."""

    tcs_template: int
    global_data: int
    zero: int
    patches: int
    layout: int

    @classmethod
    def of(cls, config: EnclaveConfig) -> _Offsets:
        tcs = DATA_OFFSET + (DATA_DIRECTORY.size + ELRANGE.size if config.elrange else 0)
        data = tcs + TCS_TEMPLATE.size
        zero = data + GLOBAL_DATA.size
        patches = zero + _ZERO_SIZE
        return cls(tcs, data, zero, patches, patches + _patch_count() * PATCH.size)


def _patch_count() -> int:
    return 1 + len(_UNMEASURED_ELF_HEADER)


def build_metadata(elf: EnclaveElf, config: EnclaveConfig, attributes: Attributes) -> Metadata:
    """Lay out the enclave and write its metadata, all but the SIGSTRUCT.

    Raises OcclumError `enclave-layout` when the enclave does not fit its address range.
    """
    offsets = _Offsets.of(config)
    versions = metadata_versions(config)
    bookkeeping = bookkeeping_bytes(elf, config, attributes) if versions & SGX2 else 0
    layout = build_layout(
        elf,
        config,
        attributes,
        tcs_content_offset=offsets.tcs_template,
        user_region_size=user_region_bytes(config, bookkeeping) if versions & SGX2 else None,
    )
    template = global_data(elf, config, attributes, layout, bookkeeping)
    tcs = tcs_template(elf, config, layout)
    body = _body(elf, config, offsets, template, tcs)
    tables = [(_COMPATIBLE_VERSION, compatible_items(layout, config["TCSNum"]))]
    if versions != SGX1:  # an enclave for SGX1 alone has no use for the main table
        tables.insert(0, (_VERSION, layout.items))
    copies = [_copy(body, config, attributes, layout, *table) for table in tables]
    return Metadata(
        data=b"".join(copies).ljust(METADATA_SIZE, b"\0"),
        copies=tuple(sum(map(len, copies[:index])) for index in range(len(copies))),
        layout=layout,
        tcs_template=tcs,
        patches=(
            (elf.global_data_offset, template),
            *((offset, bytes(size)) for offset, size in _UNMEASURED_ELF_HEADER),
        ),
    )


def _body(
    elf: EnclaveElf, config: EnclaveConfig, offsets: _Offsets, template: bytes, tcs: bytes
) -> bytes:
    """What lies between the header and the layout table."""
    elrange = b""
    if config.elrange:
        position = DATA_OFFSET + DATA_DIRECTORY.size
        elrange = DATA_DIRECTORY.pack(offset=position, size=ELRANGE.size) + ELRANGE.pack(
            image_address=config.elrange.image_address,
            start=config.elrange.start,
            size=config.elrange.size,
        )
    patches = [
        PATCH.pack(
            destination=elf.global_data_offset, source=offsets.global_data, size=len(template)
        )
    ]
    patches += [
        PATCH.pack(destination=offset, source=offsets.zero, size=size)
        for offset, size in _UNMEASURED_ELF_HEADER
    ]
    return elrange + tcs + template + bytes(_ZERO_SIZE) + b"".join(patches)


def _copy(
    body: bytes,
    config: EnclaveConfig,
    attributes: Attributes,
    layout: Layout,
    version: tuple[int, int],
    items: tuple[Item, ...],
) -> bytes:
    """One copy of the metadata: header, body and this layout table."""
    offsets = _Offsets.of(config)
    major, minor = version
    header = METADATA_HEADER.pack(
        magic=METADATA_MAGIC,
        version=(major + (_ELRANGE_MAJOR if config.elrange else 0)) << 32 | minor,
        size=offsets.layout + LAYOUT_ENTRY.size * len(items),
        tcs_policy=config["TCSPolicy"],
        ssa_frame_size=attributes.ssa_frame_pages,
        max_save_buffer_size=attributes.xsave_size,
        tcs_min_pool=config["TCSMinPool"],
        enclave_size=layout.enclave_size,
        flags=attributes.flags,
        xfrm=attributes.requested_xfrm,
        patch_offset=offsets.patches,
        patch_size=_patch_count() * PATCH.size,
        layout_offset=offsets.layout,
        layout_size=LAYOUT_ENTRY.size * len(items),
    )
    return header + body + layout_table(items)
