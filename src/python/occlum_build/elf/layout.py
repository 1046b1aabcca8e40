"""The records of an ELF file that a loader reads, as tables: System V gABI and LSB (versions).

Only the fields that are used are named. Offsets are in bytes from the start of the record.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from occlum_build.table import Field, Record

MAGIC = b"\x7fELF"
EI_CLASS, EI_DATA, EI_NIDENT = 4, 5, 16  # offsets in e_ident, and its size
CLASSES = {1: 32, 2: 64}
ORDERS = {1: "<", 2: ">"}  # EI_DATA -> byte order

TYPES = {0: "ET_NONE", 1: "ET_REL", 2: "ET_EXEC", 3: "ET_DYN", 4: "ET_CORE"}
MACHINES = {
    **{0: "EM_NONE", 2: "EM_SPARC", 3: "EM_386", 4: "EM_68K", 8: "EM_MIPS", 15: "EM_PARISC"},
    **{20: "EM_PPC", 21: "EM_PPC64", 22: "EM_S390", 40: "EM_ARM", 42: "EM_SH", 43: "EM_SPARCV9"},
    **{50: "EM_IA_64", 62: "EM_X86_64", 183: "EM_AARCH64", 195: "EM_ARC_COMPACT2"},
    **{243: "EM_RISCV", 247: "EM_BPF", 258: "EM_LOONGARCH"},
}

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PN_XNUM = 0xFFFF
DT_NULL, DT_NEEDED, DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH = 0, 1, 5, 14, 15, 29
DT_STRSZ = 10
DT_FLAGS_1, DT_VERDEF, DT_VERNEED = 0x6FFFFFFB, 0x6FFFFFFC, 0x6FFFFFFE
DT_AUXILIARY, DT_FILTER = 0x7FFFFFFD, 0x7FFFFFFF
DF_1_NODEFLIB = 0x800
VERSION_BASE, VERSION_WEAK = 1, 2  # vd_flags, vna_flags

# Class -> size, fields.
_EHDR = {
    32: (
        52,
        (
            Field("e_type", 16, "H"),
            Field("e_machine", 18, "H"),
            Field("e_phoff", 28, "I"),
            Field("e_phentsize", 42, "H"),
            Field("e_phnum", 44, "H"),
        ),
    ),
    64: (
        64,
        (
            Field("e_type", 16, "H"),
            Field("e_machine", 18, "H"),
            Field("e_phoff", 32, "Q"),
            Field("e_phentsize", 54, "H"),
            Field("e_phnum", 56, "H"),
        ),
    ),
}
_PHDR = {
    32: (
        32,
        (
            Field("p_type", 0, "I"),
            Field("p_offset", 4, "I"),
            Field("p_vaddr", 8, "I"),
            Field("p_filesz", 16, "I"),
        ),
    ),
    64: (
        56,
        (
            Field("p_type", 0, "I"),
            Field("p_offset", 8, "Q"),
            Field("p_vaddr", 16, "Q"),
            Field("p_filesz", 32, "Q"),
        ),
    ),
}
_DYN = {
    32: (8, (Field("d_tag", 0, "I"), Field("d_val", 4, "I"))),
    64: (16, (Field("d_tag", 0, "Q"), Field("d_val", 8, "Q"))),
}
# The same for both classes.
_VERNEED = (16, (Field("vn_file", 4, "I"), Field("vn_aux", 8, "I"), Field("vn_next", 12, "I")))
_VERNAUX = (
    16,
    (Field("vna_flags", 4, "H"), Field("vna_name", 8, "I"), Field("vna_next", 12, "I")),
)
_VERDEF = (20, (Field("vd_flags", 2, "H"), Field("vd_aux", 12, "I"), Field("vd_next", 16, "I")))
_VERDAUX = (8, (Field("vda_name", 0, "I"),))


class Layout(NamedTuple):
    """The records of files of one class and byte order."""

    ehdr: Record
    phdr: Record
    dyn: Record
    verneed: Record
    vernaux: Record
    verdef: Record
    verdaux: Record


@functools.cache
def layout_of(elf_class: int, order: str) -> Layout:
    """The records of 32 or 64 bit files; `order` as in ORDERS."""
    tables = (
        *(_EHDR[elf_class], _PHDR[elf_class], _DYN[elf_class]),
        *(_VERNEED, _VERNAUX, _VERDEF, _VERDAUX),
    )
    return Layout(*(Record(size, fields, order) for size, fields in tables))
