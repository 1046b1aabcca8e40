"""The ELF file of an enclave: what signing needs of it, and the rules it has to keep.

The rules are those of the SDK's sign tool; docs/sgx-signing.md, section "The enclave file".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from occlum_build.sgx.elf_image import ElfImage, Segment, elf_error
from occlum_build.sgx.elf_rules import check_dynamic, check_relocations, check_sections
from occlum_build.sgx.records import PAGE_SIZE, round_up

__all__ = ["METADATA_SIZE", "EnclaveElf", "Segment", "read_enclave", "sdk_version_number"]

METADATA_MAGIC = 0x86A80294635D0E4C
METADATA_SIZE = 0x5000
GLOBAL_DATA_SIZE = 1760
_NOTE_SECTION = ".note.sgxmeta"
_NOTE_NAME = b"sgx_metadata\0"
_NOTE_HEADER = struct.Struct("<III")


def sdk_version_number(major: int, minor: int, patch: int) -> int:
    """An SDK version as g_global_data holds it."""
    return major << 32 | minor << 16 | patch


# The sign tools of these two are the same files; others differ in layout, metadata or both.
SDK_VERSIONS = {
    sdk_version_number(2, 20, 100): "2.20.100",
    sdk_version_number(2, 21, 100): "2.21.100",
}


@dataclass(frozen=True)
class EnclaveElf:
    """Facts of an unsigned enclave file: offsets in the file, addresses from its base, in bytes."""

    segments: tuple[Segment, ...]
    tls_size: int
    entry_address: int
    global_data_offset: int
    metadata_offset: int
    sdk_version: str

    @property
    def image_end(self) -> int:
        """Where the pages of the image end: those of the segment that begins last."""
        last = max(self.segments, key=lambda segment: segment.address)
        return round_up(last.address + last.memory_size, PAGE_SIZE)


def read_enclave(data: bytes) -> EnclaveElf:
    """Read and check an unsigned enclave; OcclumError `enclave-elf` names the first broken rule."""
    image = ElfImage(data)
    check_sections(image)
    check_dynamic(image)
    check_relocations(image)
    global_data_offset, sdk_version = _global_data(image)
    return EnclaveElf(
        segments=image.segments,
        tls_size=image.tls_size,
        entry_address=_entry_address(image),
        global_data_offset=global_data_offset,
        metadata_offset=metadata_offset(image, signed=False),
        sdk_version=sdk_version,
    )


def metadata_offset(image: ElfImage, *, signed: bool) -> int:
    """Where in the file the 0x5000 bytes of metadata are; they hold the magic iff `signed`."""
    section = image.section(_NOTE_SECTION)
    if section is None:
        raise elf_error(f"there is no section {_NOTE_SECTION}: this is no enclave of the SGX SDK")
    if section.size < _NOTE_HEADER.size + len(_NOTE_NAME) + METADATA_SIZE:
        raise elf_error(f"section {_NOTE_SECTION} is too small: {section.size:#x} bytes")
    note = image.read(section.offset, section.size, f"section {_NOTE_SECTION}")
    name_size, metadata_size, _ = _NOTE_HEADER.unpack_from(note)
    size = round_up(_NOTE_HEADER.size + name_size + metadata_size, max(section.alignment, 1))
    if size != section.size or metadata_size != METADATA_SIZE:
        raise elf_error(
            f"section {_NOTE_SECTION} is {section.size:#x} bytes, its note says {size:#x}"
            f" with {metadata_size:#x} bytes of metadata"
        )
    start = _NOTE_HEADER.size + len(_NOTE_NAME)
    if note[_NOTE_HEADER.size : start] != _NOTE_NAME or name_size != len(_NOTE_NAME):
        raise elf_error(f"the note in {_NOTE_SECTION} is not named sgx_metadata")
    has_magic = note[start : start + 8] == struct.pack("<Q", METADATA_MAGIC)
    if has_magic and not signed:
        raise elf_error("the enclave is signed already", hint="sign the file the linker wrote")
    if signed and not has_magic:
        raise elf_error("the enclave is not signed: there is no metadata in it")
    return section.offset + start


def _entry_address(image: ElfImage) -> int:
    symbol = image.symbols.get("enclave_entry")
    address = symbol.address if symbol else image.entry
    if not address:
        raise elf_error("there is no symbol enclave_entry and no entry point")
    return address


def _global_data(image: ElfImage) -> tuple[int, str]:
    """The file offset of g_global_data and the SDK version in it."""
    symbol = image.symbols.get("g_global_data")
    if symbol is None:
        raise elf_error("there is no dynamic symbol g_global_data")
    offset = image.file_offset(symbol.address, GLOBAL_DATA_SIZE, "g_global_data")
    (version,) = struct.unpack_from("<Q", image.data, offset)
    if version not in SDK_VERSIONS:
        found = f"{version >> 32}.{version >> 16 & 0xFFFF}.{version & 0xFFFF}"
        raise elf_error(
            f"the enclave was built with SGX SDK {found}, which is not supported",
            hint=f"supported are {', '.join(sorted(SDK_VERSIONS.values()))}",
        )
    return offset, SDK_VERSIONS[version]
