"""The `.builtin_config` section of the libOS: the MAC of the configuration, burnt into the enclave.

The libOS reads 47 bytes. The stock toolchain hands a file with a newline to `objcopy`, so that the
section grows to 48 bytes and the newline is measured; docs/sgx-signing.md, section "The MAC".
"""

from __future__ import annotations

import re
import struct

from occlum_build.errors import OcclumError
from occlum_build.sgx.elf_image import ElfImage, Section
from occlum_build.shown import quoted

SECTION = ".builtin_config"
MAC_TEXT_SIZE = 47
_MAC_TEXT = re.compile(r"[0-9a-f]{2}(?:-[0-9a-f]{2}){15}")
_SH_SIZE_OFFSET = 32
_SHF_ALLOC = 2


def patch_builtin_config(enclave: bytes, mac: str, *, with_newline: bool = True) -> bytes:
    """The unsigned libOS with this MAC (16 bytes as `xx-xx-...`, 47 characters) in it.

    `with_newline` gives the bytes, and so the MRENCLAVE, of a stock `occlum build`. Without it the
    section keeps its 47 bytes: works the same, measures differently.
    Raises OcclumError `builtin-config`, also when there is no room for the 48th byte.
    """
    if not _MAC_TEXT.fullmatch(mac):
        raise OcclumError("builtin-config", f"{quoted(mac)} is no MAC (xx-xx-..., 16 bytes)")
    image = ElfImage(enclave)
    section = image.section(SECTION)
    if section is None:
        raise OcclumError("builtin-config", f"there is no section {SECTION}: this is no libOS")
    if section.size != MAC_TEXT_SIZE or section.type != "SHT_PROGBITS":
        raise OcclumError(
            "builtin-config",
            f"section {SECTION} has {section.size} bytes, not {MAC_TEXT_SIZE}",
            hint="start from the libOS as it was installed",
        )
    image.read(section.offset, MAC_TEXT_SIZE, f"section {SECTION}")
    content = mac.encode("ascii") + (b"\n" if with_newline else b"")
    result = bytearray(enclave)
    if with_newline:
        _check_room(image, section, len(content))
        struct.pack_into("<Q", result, section.header_offset + _SH_SIZE_OFFSET, len(content))
    result[section.offset : section.offset + len(content)] = content
    return bytes(result)


def _check_room(image: ElfImage, section: Section, size: int) -> None:
    """Whether nothing else is in the file or in memory where the section grows."""
    end, file_end = section.address + size, section.offset + size
    neighbours = sorted(
        other.name
        for other in image.sections
        if other.size
        and (
            (other.flags & _SHF_ALLOC and section.address < other.address < end)
            or (other.type != "SHT_NOBITS" and section.offset < other.offset < file_end)
        )
    )
    loaded = any(
        part.address <= section.address and end <= part.address + part.file_size
        for part in image.segments
    )
    if neighbours or not loaded:
        what = f"{neighbours[0]} follows" if neighbours else "the segment ends"
        raise OcclumError(
            "builtin-config",
            f"there is no room for the newline: {what} right after section {SECTION}",
            hint="patch without the newline (47 bytes): the libOS reads the same MAC, but"
            " MRENCLAVE is not that of a stock `occlum build`",
        )
