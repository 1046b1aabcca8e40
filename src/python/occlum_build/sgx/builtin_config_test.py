from __future__ import annotations

import struct

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx.builtin_config import patch_builtin_config
from occlum_build.sgx.elf_image import ElfImage, Section
from occlum_build.sgx.sign import prepare
from occlum_build.sgx.vectors_for_tests import enclave, patched

SO = enclave()
MAC = "00-11-22-33-44-55-66-77-88-99-aa-bb-cc-dd-ee-ff"


def section_of(data: bytes, name: str = ".builtin_config") -> Section:
    section = ElfImage(data).section(name)
    assert section is not None
    return section


def test_as_objcopy_leaves_it() -> None:
    result = patch_builtin_config(SO, MAC)
    section = section_of(SO)
    assert section_of(result).size == 48
    assert result[section.offset : section.offset + 48] == MAC.encode() + b"\n"
    changed = {index for index in range(len(SO)) if SO[index] != result[index]}
    allowed = {*range(section.offset, section.offset + 48), section.header_offset + 32}
    assert len(result) == len(SO) and changed <= allowed


def test_without_the_newline_only_47_bytes_change() -> None:
    result = patch_builtin_config(SO, MAC, with_newline=False)
    start = section_of(SO).offset
    assert result == SO[:start] + MAC.encode() + SO[start + 47 :]


def test_the_newline_is_measured_and_sh_size_is_not() -> None:
    with_newline = patch_builtin_config(SO, MAC)
    without = patch_builtin_config(SO, MAC, with_newline=False)
    assert prepare(with_newline, None).mrenclave != prepare(without, None).mrenclave
    only_size = patched(SO, section_of(SO).header_offset + 32, "<Q", 48)
    assert prepare(only_size, None).mrenclave == prepare(SO, None).mrenclave


def moved_neighbour() -> bytes:
    """The enclave whose next section begins right after the 47 bytes."""
    section, neighbour = section_of(SO), section_of(SO, ".eh_frame_hdr")
    return patched(
        SO, neighbour.header_offset + 16, "<QQ", section.address + 47, section.offset + 47
    )


def test_no_room_for_the_newline() -> None:
    crowded = moved_neighbour()
    with pytest.raises(OcclumError, match=r"\.eh_frame_hdr follows") as caught:
        patch_builtin_config(crowded, MAC)
    assert "47 bytes" in caught.value.problems[0].hint
    assert patch_builtin_config(crowded, MAC, with_newline=False) != crowded


def test_segment_that_ends_with_the_section() -> None:
    header = next(
        start
        for start in range(64, 64 + 11 * 56, 56)
        if struct.unpack_from("<I", SO, start)[0] == 1
        and struct.unpack_from("<Q", SO, start + 16)[0] == 0x2000
    )
    with pytest.raises(OcclumError, match="the segment ends"):
        patch_builtin_config(patched(SO, header + 32, "<QQ", 47, 47), MAC)


@pytest.mark.parametrize("mac", ["", MAC + "\n", MAC.upper(), MAC[:-1], MAC.replace("-", ":")])
def test_bad_macs(mac: str) -> None:
    with pytest.raises(OcclumError, match="is no MAC"):
        patch_builtin_config(SO, mac)


def test_bad_sections() -> None:
    with pytest.raises(OcclumError, match="no section"):
        patch_builtin_config(SO.replace(b".builtin_config", b".builtin_konfig"), MAC)
    with pytest.raises(OcclumError, match="48 bytes, not 47"):
        patch_builtin_config(patch_builtin_config(SO, MAC), MAC)
