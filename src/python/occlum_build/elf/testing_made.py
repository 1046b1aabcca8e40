"""ELF files as an attacker makes them: each field as given, and no compiler."""

from __future__ import annotations

from collections.abc import Sequence

from occlum_build.elf import layout

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_386, EM_X86_64, EM_AARCH64 = 3, 62, 183


def made_elf(
    interpreter: bytes | None = None,
    *,
    interpreter_size: int | None = None,
    tags: Sequence[tuple[int, bytes]] = (),
    kind: int = ET_DYN,
    machine: int = EM_X86_64,
    elf_class: int = 64,
) -> bytes:
    """A file with the bytes of PT_INTERP, and dynamic tags of names."""
    records = layout.layout_of(elf_class, "<")
    ehdr, phdr, dyn = records.ehdr, records.phdr, records.dyn
    start = ehdr.size + 3 * phdr.size
    strings = bytearray(b"\0")
    entries = []
    for tag, name in tags:
        entries.append((tag, len(strings)))
        strings += name + b"\0"
    path_at = start + len(strings)
    strings += interpreter or b""
    entries += [(layout.DT_STRTAB, start), (layout.DT_NULL, 0)]
    dynamic = b"".join(dyn.pack(d_tag=tag, d_val=value) for tag, value in entries)
    dynamic_at = start + len(strings)
    segments = [
        (layout.PT_LOAD, 0, dynamic_at + len(dynamic)),
        (layout.PT_DYNAMIC, dynamic_at, len(dynamic)),
    ]
    if interpreter is not None:
        size = len(interpreter) if interpreter_size is None else interpreter_size
        segments.append((layout.PT_INTERP, path_at, size))
    header = ehdr.pack(
        e_type=kind,
        e_machine=machine,
        e_phoff=ehdr.size,
        e_phentsize=phdr.size,
        e_phnum=len(segments),
    )
    ident = layout.MAGIC + bytes([{32: 1, 64: 2}[elf_class], 1, 1])
    headers = b"".join(
        phdr.pack(p_type=one, p_offset=at, p_vaddr=at, p_filesz=size) for one, at, size in segments
    )
    front = ident + header[len(ident) :] + headers
    return front.ljust(start, b"\0") + bytes(strings) + dynamic
