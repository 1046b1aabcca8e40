"""Writes small ELF files that a loader could search libraries for, by the thousand."""

from __future__ import annotations

from collections.abc import Sequence

from occlum_build.elf import layout

IDENT = layout.MAGIC + bytes([2, 1, 1])  # 64 bit, little-endian, version 1
ET_DYN, EM_X86_64 = 3, 62
RECORDS = layout.layout_of(64, "<")
# What linkers put into every library besides: DT_HASH, DT_SYMTAB, DT_RELA and so on.
USUAL_TAGS = (4, 6, 7, 8, 9, 11, 12, 13, 20, 23, 25, 26, 27, 28, 0x6FFFFFF0, 0x6FFFFFF9)


def tiny_elf(
    soname: str = "",
    needed: Sequence[str] = (),
    interpreter: str = "",
    versions: Sequence[str] = ("V_1", "V_1.1", "V_2"),
) -> bytes:
    """A shared object, or with an interpreter a program; it needs `versions` of each library."""
    strings = _Strings()
    tags = [(layout.DT_NEEDED, strings.offset(name)) for name in needed]
    if soname:
        tags.append((layout.DT_SONAME, strings.offset(soname)))
    interpreter_offset = strings.offset(interpreter)
    version_needs = _version_needs(strings, needed, versions)
    table = RECORDS.ehdr.size + 3 * RECORDS.phdr.size
    tags.append((layout.DT_STRTAB, table))
    if version_needs:
        tags.append((layout.DT_VERNEED, table + len(strings.data)))
    tags += [*((tag, 0) for tag in USUAL_TAGS), (layout.DT_NULL, 0)]
    dynamic = b"".join(RECORDS.dyn.pack(d_tag=tag, d_val=value) for tag, value in tags)
    offset = table + len(strings.data) + len(version_needs)
    segments = [
        (layout.PT_LOAD, 0, offset + len(dynamic)),
        (layout.PT_DYNAMIC, offset, len(dynamic)),
    ]
    if interpreter:
        segments.append((layout.PT_INTERP, table + interpreter_offset, len(interpreter) + 1))
    header = RECORDS.ehdr.pack(
        e_type=ET_DYN,
        e_machine=EM_X86_64,
        e_phoff=RECORDS.ehdr.size,
        e_phentsize=RECORDS.phdr.size,
        e_phnum=len(segments),
    )
    headers = b"".join(
        RECORDS.phdr.pack(p_type=kind, p_offset=at, p_vaddr=at, p_filesz=length)
        for kind, at, length in segments
    )
    front = (IDENT + header[len(IDENT) :] + headers).ljust(table, b"\0")
    return front + bytes(strings.data) + version_needs + dynamic


class _Strings:
    """A string table."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")

    def offset(self, text: str) -> int:
        self.data += text.encode() + b"\0"
        return len(self.data) - len(text.encode()) - 1


def _version_needs(strings: _Strings, needed: Sequence[str], versions: Sequence[str]) -> bytes:
    if not versions:
        return b""
    names = [strings.offset(version) for version in versions]
    first, each = RECORDS.verneed.size, RECORDS.vernaux.size
    whole = first + each * len(names)
    data = b""
    for number, library in enumerate(needed):
        following = whole if number + 1 < len(needed) else 0
        data += RECORDS.verneed.pack(
            vn_file=strings.offset(library), vn_aux=first, vn_next=following
        )
        for left, name in zip(range(len(names) - 1, -1, -1), names):
            data += RECORDS.vernaux.pack(vna_flags=0, vna_name=name, vna_next=each if left else 0)
    return data
