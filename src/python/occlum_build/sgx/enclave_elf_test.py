from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx.enclave_elf import read_enclave, sdk_version_number
from occlum_build.sgx.vectors_for_tests import (
    GLOBAL_DATA_OFFSET,
    NOTE_OFFSET,
    enclave,
    patched,
    with_dynamic,
)

SO = enclave()
PROGRAM_HEADERS = 64
LOAD_HEADER = PROGRAM_HEADERS + 2 * 56  # the first PT_LOAD
DYNAMIC_HEADER = next(start for start in range(PROGRAM_HEADERS, 64 + 11 * 56, 56) if SO[start] == 2)
DYNSYM_OFFSET = 0x318
RELA_ADDRESS, RELA_OFFSET = 0x4000, 0x3000  # .data, room for a relocation


def renamed(old: bytes, new: bytes) -> bytes:
    """The enclave with a section (or symbol) name changed everywhere."""
    assert len(old) == len(new) and old in SO
    return SO.replace(old, new)


def with_relocation(target: int, kind: int) -> bytes:
    """The enclave with one RELA relocation."""
    data = patched(SO, RELA_OFFSET, "<QQq", target, kind, 0)
    return with_dynamic(data, t7=RELA_ADDRESS, t8=24)


REFUSED = {
    "no ELF": (b"#!/bin/sh\n", "no readable ELF"),
    "empty": (b"", "no readable ELF"),
    "cut header": (SO[:70], "ELF"),
    "cut": (SO[: len(SO) // 2], "ELF|beyond the end"),
    "32 bit": (patched(SO, 4, "B", 1), "ELF|64-bit"),
    "big-endian": (patched(SO, 5, "B", 2), "ELF|little-endian"),
    "executable": (patched(SO, 16, "<H", 2), "ET_DYN"),
    "machine": (patched(SO, 18, "<H", 183), "x86-64"),
    "load alignment": (patched(SO, LOAD_HEADER + 48, "<Q", 16), "aligned to 0x10"),
    "load flags": (patched(SO, LOAD_HEADER + 4, "<I", 0), "no access flags"),
    "load sizes": (patched(SO, LOAD_HEADER + 40, "<Q", 1), "larger in the file"),
    "load overlap": (patched(SO, LOAD_HEADER + 40, "<Q", 0x1800), "0x0 and 0x1000 overlap"),
    "load far": (patched(SO, LOAD_HEADER + 16, "<Q", 2**63), "ends above"),
    "load beyond": (patched(SO, LOAD_HEADER + 8, "<Q", 2**40), "beyond the end"),
    "no dynamic": (patched(SO, DYNAMIC_HEADER, "<I", 4), "no PT_DYNAMIC"),
    "REL": (with_dynamic(SO, t17=0), "DT_REL"),
    "TEXTREL": (with_dynamic(SO, t22=0), "DT_TEXTREL"),
    "DF_TEXTREL": (
        with_dynamic(SO.replace(b"\x1e" + bytes(7) + b"\x08", b"\x1e" + bytes(7) + b"\x0c")),
        "DT_TEXTREL",
    ),
    "relocation type": (with_relocation(0x4000, 5), "relocation type 5 at 0x4000"),
    "relocation in code": (with_relocation(0x1004, 8), "0x1004 in the code of .text"),
    "relocation table": (with_dynamic(SO, t7=0x9000, t8=24), "relocation table"),
    "undefined symbol": (
        patched(SO, DYNSYM_OFFSET + 24 + 6, "<H", 0),
        "undefined symbols: enclave.so",
    ),
    "constructors": (renamed(b".eh_frame\0", b".ctors\0\0\0\0"), "section .ctors"),
    "init": (renamed(b".comment\0", b".init\0\0\0\0"), "section .init "),
    "no global data": (renamed(b"g_global_data", b"g_global_dota"), "g_global_data"),
    "no metadata": (renamed(b".note.sgxmeta", b".note.sgxmeat"), "no section .note.sgxmeta"),
    "note name": (renamed(b"sgx_metadata", b"sgx_metadatA"), "not named sgx_metadata"),
    "note size": (patched(SO, NOTE_OFFSET + 4, "<I", 0x4000), "0x4000 bytes of metadata"),
    "note name size": (patched(SO, NOTE_OFFSET, "<I", 12), "not named|its note says"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(OcclumError, match=message) as caught:
        read_enclave(data)
    assert caught.value.code == "enclave-elf"


def test_facts() -> None:
    elf = read_enclave(SO)
    assert elf.sdk_version == "2.20.100"
    assert (elf.entry_address, elf.global_data_offset) == (0x1000, GLOBAL_DATA_OFFSET)
    assert elf.metadata_offset == NOTE_OFFSET + 25
    assert (elf.image_end, elf.tls_size) == (0x7000, 0)
    assert [segment.si_flags for segment in elf.segments] == [0x201, 0x205, 0x201, 0x203]
    assert read_enclave(enclave("enc_mini_tls.so")).tls_size == 0x138C


def test_relocations_the_loader_knows_are_fine() -> None:
    assert read_enclave(with_relocation(0x4000, 8)).sdk_version == "2.20.100"


def test_weak_undefined_symbol_is_fine() -> None:
    weak = patched(patched(SO, DYNSYM_OFFSET + 24 + 6, "<H", 0), DYNSYM_OFFSET + 24 + 4, "B", 0x21)
    assert read_enclave(weak).entry_address == 0x1000


def test_entry_point_stands_in_for_the_symbol() -> None:
    other = renamed(b"enclave_entry", b"enclave_emtry")
    assert read_enclave(patched(other, 24, "<Q", 0x1004)).entry_address == 0x1004
    with pytest.raises(OcclumError, match="enclave_entry"):
        read_enclave(patched(other, 24, "<Q", 0))


def test_sdk_versions() -> None:
    newer = patched(SO, GLOBAL_DATA_OFFSET, "<Q", sdk_version_number(2, 21, 100))
    assert read_enclave(newer).sdk_version == "2.21.100"
    for version in ((2, 17, 101), (2, 22, 100), (0, 0, 0)):
        other = patched(SO, GLOBAL_DATA_OFFSET, "<Q", sdk_version_number(*version))
        with pytest.raises(OcclumError, match=r"SGX SDK {}\.{}\.{},".format(*version)):
            read_enclave(other)


def _header(**fields: int) -> bytes:
    """The enclave with other values in its ELF header."""
    places = {"phentsize": 54, "phnum": 56, "shentsize": 58, "shnum": 60, "shstrndx": 62}
    data = SO
    for name, value in fields.items():
        data = patched(data, places[name], "<H", value)
    return data


BOMBS = {
    "one section header 60,000 times": (
        _header(shentsize=0, shnum=60_000),
        "Too small e_shentsize",
    ),
    "one program header 60,000 times": (_header(phentsize=0, phnum=60_000), "headers have 0 bytes"),
    "section headers of the whole file": (_header(shnum=0xFF00), "beyond the end"),
    "program headers of the whole file": (_header(phnum=0xFFFE), "beyond the end"),
    "no section has the names": (_header(shstrndx=0xFFFF), "no table of section names"),
    "alignment": (patched(SO, LOAD_HEADER + 48, "<Q", 1 << 63), "more than 0x40000000"),
    "a name without an end": (
        SO[: DYNSYM_OFFSET + 24] + b"\xff\xff\xff\x7f" + SO[DYNSYM_OFFSET + 28 :],
        "names of dynamic symbols|undefined|global",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_tables_are_no_larger_than_the_file(name: str) -> None:
    data, message = BOMBS[name]
    with pytest.raises(OcclumError, match=message):
        read_enclave(data)
