"""What an enclave file must not have: constructors, text relocations, unresolved symbols."""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterable

from occlum_build.sgx.elf_image import ElfImage, elf_error
from occlum_build.shown import some

_DT_REL, _DT_RELA, _DT_RELASZ = 17, 7, 8
_DT_JMPREL, _DT_PLTRELSZ = 23, 2
_DT_TEXTREL, _DT_FLAGS = 22, 30
_DF_TEXTREL = 4
_SHF_EXECINSTR = 4
_WEAK = 2
_RELA = struct.Struct("<QQq")
# x86-64: NONE, 64, GLOB_DAT, JUMP_SLOT, RELATIVE, DTPMOD64, DTPOFF64, TPOFF64
_RELOCATION_TYPES = frozenset((0, 1, 6, 7, 8, 16, 17, 18))
_REFUSED_SECTIONS = (".ctors", ".init")


def check_sections(image: ElfImage) -> None:
    """No section with code to run at start that the enclave's loader would not run."""
    for name in _REFUSED_SECTIONS:
        if image.section(name):
            raise elf_error(
                f"section {name} is not allowed in an enclave: nothing would run it",
                hint="use .init_array, link with -nostdlib -nostartfiles",
            )


def check_dynamic(image: ElfImage) -> None:
    """No REL or text relocations, and no symbol that is left to a shared library."""
    if _DT_REL in image.dynamic:
        raise elf_error("there are relocations of type REL (DT_REL); x86-64 has RELA only")
    if _DT_TEXTREL in image.dynamic or image.dynamic.get(_DT_FLAGS, 0) & _DF_TEXTREL:
        raise elf_error(
            "there are text relocations (DT_TEXTREL): code pages would have to be writable",
            hint="compile everything with -fPIC",
        )
    undefined = sorted(
        name
        for name, symbol in image.symbols.items()
        if symbol.section_index == 0 and symbol.binding != _WEAK
    )
    if undefined:
        raise elf_error(f"undefined symbols: {some(undefined, 5)}")


def check_relocations(image: ElfImage) -> None:
    """Only relocations the enclave's loader knows, and none in code."""
    code = [section for section in image.sections if section.flags & _SHF_EXECINSTR]
    ranges = _merged((one.address, one.address + one.size) for one in code)
    starts = [start for start, _ in ranges]
    for table, size_tag in ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ)):
        address = image.dynamic.get(table)
        if address is None:
            continue
        size = image.dynamic.get(size_tag, 0) // _RELA.size * _RELA.size
        start = image.file_offset(address, size, "the relocation table")
        for target, info, _ in _RELA.iter_unpack(image.data[start : start + size]):
            if info & 0xFFFFFFFF not in _RELOCATION_TYPES:
                raise elf_error(
                    f"relocation type {info & 0xFFFFFFFF} at {target:#x} is not supported"
                )
            at = bisect.bisect_right(starts, target) - 1
            if at >= 0 and target < ranges[at][1]:
                name = next(one.name for one in code if 0 <= target - one.address < one.size)
                raise elf_error(f"there is a relocation at {target:#x} in the code of {name}")


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same addresses in ranges that are sorted and have others between them."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged
