from __future__ import annotations

import glob
import io
import os
import random
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from occlum_build.elf.facts import ElfFacts, Malformed, outcome_from_json, outcome_to_json
from occlum_build.elf.layout import (
    DT_NEEDED,
    DT_NULL,
    DT_STRTAB,
    MAGIC,
    ORDERS,
    PT_DYNAMIC,
    PT_LOAD,
    layout_of,
)
from occlum_build.elf.read import read_facts

PROGRAMS = sorted(path for path in glob.glob("/usr/bin/*") if os.path.isfile(path))
LIBRARIES = sorted(glob.glob("/lib/x86_64-linux-gnu/lib[c-n]*.so.?"))
SAMPLE = [*PROGRAMS[:: max(1, len(PROGRAMS) // 60)], *LIBRARIES[:40]]
SEED = 20240501


def _has_what_its_segments_have(elf: Any) -> bool:
    """Not so of a file with debug information alone, nor of one without sections."""
    if not any(segment["p_type"] == "PT_DYNAMIC" for segment in elf.iter_segments()):
        return True
    section = elf.get_section_by_name(".dynamic")
    return section is not None and section["sh_type"] == "SHT_DYNAMIC"


def _from_sections(path: str) -> dict[str, Any] | None:
    """The same facts by pyelftools' interface to sections; None of what has none."""
    with open(path, "rb") as stream:
        if stream.read(4) != b"\x7fELF":
            return None
        elf: Any = ELFFile(stream)
        if not _has_what_its_segments_have(elf):
            return None
        facts: dict[str, Any] = {"needed": [], "soname": None, "rpath": None, "runpath": None}
        for tag in getattr(elf.get_section_by_name(".dynamic"), "iter_tags", lambda: ())():
            if tag.entry.d_tag == "DT_NEEDED":
                facts["needed"].append(tag.needed)
            elif tag.entry.d_tag in ("DT_SONAME", "DT_RPATH", "DT_RUNPATH"):
                name = tag.entry.d_tag[3:].lower()
                value = getattr(tag, name)
                facts[name] = value if name == "soname" else value.split(":")
        needs, defs = (
            elf.get_section_by_name(name) for name in (".gnu.version_r", ".gnu.version_d")
        )
        facts["version_needs"] = [
            [need.name, [one.name for one in used if not one.entry.vna_flags & 2]]
            for need, used in (needs.iter_versions() if needs else ())
        ]
        facts["version_defs"] = [
            next(iter(names)).name
            for one, names in (defs.iter_versions() if defs else ())
            if not one.entry.vd_flags & 1
        ]
        section = elf.get_section_by_name(".interp")
        facts["interpreter"] = section.data().rstrip(b"\0").decode() if section else None
        facts.update(type=str(elf["e_type"]), machine=str(elf["e_machine"]))
        facts["class"] = elf.elfclass
        return facts


def _files_of_the_machine() -> Iterator[str]:
    """Each file of the system once, whatever it is called."""
    seen = set()
    for top in ("/bin", "/lib", "/lib64", "/opt", "/sbin", "/usr"):
        for folder, folders, names in os.walk(top):
            folders.sort()
            for path in (os.path.join(folder, name) for name in sorted(names)):
                status = os.lstat(path)
                if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    yield path


def test_facts_of_each_elf_file_of_the_machine_are_those_of_its_sections(
    record_property: Callable[[str, object], None],
) -> None:
    compared = 0
    for path in _files_of_the_machine():
        try:
            expected = _from_sections(path)
        except PermissionError:
            continue
        if expected is None:
            continue
        with open(path, "rb") as stream:
            facts = outcome_to_json(read_facts(stream))
        assert facts is not None
        assert {name: facts[name] for name in expected} == expected, path
        compared += 1
    record_property("compared", f"{compared} ELF files with pyelftools")
    assert compared >= 100


def test_json_round_trip() -> None:
    facts = ElfFacts(
        type="ET_DYN",
        machine="EM_X86_64",
        elf_class=64,
        interpreter="/lib/ld.so",
        is_dynamic=True,
        soname="libx.so",
        needed=("liba.so", "libb.so"),
        rpath=("/a", "$ORIGIN"),
        runpath=("",),
        nodeflib=True,
        version_needs=(("liba.so", ("A", "B")),),
        version_defs=("X",),
    )
    outcomes: tuple[ElfFacts | Malformed | None, ...] = (
        facts,
        ElfFacts("ET_REL", "EM_386", 32),
        Malformed("junk"),
        None,
    )
    for outcome in outcomes:
        assert outcome_from_json(outcome_to_json(outcome)) == outcome


def test_a_stream_is_read_like_bytes() -> None:
    data = Path(PROGRAMS[0]).read_bytes()
    stream = io.BytesIO(data)
    stream.seek(7)
    assert read_facts(stream) == read_facts(data)


@pytest.mark.parametrize("elf_class", [32, 64])
@pytest.mark.parametrize("data_encoding", [1, 2])
def test_both_classes_and_byte_orders_are_read(elf_class: int, data_encoding: int) -> None:
    records = layout_of(elf_class, ORDERS[data_encoding])
    ehdr, phdr, dyn = records.ehdr, records.phdr, records.dyn
    strings = b"\0liba.so\0libb.so\0"
    start = ehdr.size + 2 * phdr.size
    tags = [(DT_NEEDED, 1), (DT_NEEDED, 9), (DT_STRTAB, 0x1000), (DT_NULL, 0), (DT_NEEDED, 1)]
    dynamic = b"".join(dyn.pack(d_tag=tag, d_val=value) for tag, value in tags)
    size = len(strings)
    header = ehdr.pack(e_type=3, e_machine=62, e_phoff=ehdr.size, e_phentsize=phdr.size, e_phnum=2)
    segments = [
        phdr.pack(p_type=PT_LOAD, p_offset=start, p_vaddr=0x1000, p_filesz=size),
        phdr.pack(p_type=PT_DYNAMIC, p_offset=start + size, p_vaddr=0, p_filesz=len(dynamic)),
    ]
    ident = bytes([*MAGIC, 1 if elf_class == 32 else 2, data_encoding, 1])
    data = ident + header[len(ident) :] + b"".join(segments) + strings + dynamic

    assert read_facts(data) == ElfFacts(
        "ET_DYN", "EM_X86_64", elf_class, is_dynamic=True, needed=("liba.so", "libb.so")
    )
    assert read_facts(data[: -len(dynamic) + dyn.size]) == Malformed(
        "the dynamic segment has no end"
    )


@pytest.mark.parametrize("data", [b"", b"\x7fEL", b"#!/bin/sh\n", b"\0" * 64])
def test_other_files_are_no_elf_files(data: bytes) -> None:
    assert read_facts(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF",
        b"\x7fELF" + b"\xff" * 200,
        b"\x7fELF\x02\x00\x01" + b"\0" * 57,
        b"\x7fELF\x02\x01\x01" + b"\0" * 20,
    ],
)
def test_junk_after_the_magic_is_malformed(data: bytes) -> None:
    outcome = read_facts(data)
    assert isinstance(outcome, Malformed) and outcome.reason


def _small_elf() -> bytes:
    """A dynamic file of this machine, with versions; the smallest of the sample."""
    candidates = [Path(path).read_bytes() for path in SAMPLE]
    dynamic = [data for data in candidates if _is_rich(read_facts(data))]
    return min(dynamic, key=len)


def _is_rich(outcome: ElfFacts | Malformed | None) -> bool:
    return isinstance(outcome, ElfFacts) and bool(outcome.needed and outcome.version_needs)


def test_truncated_files_never_raise() -> None:
    data = _small_elf()
    outcomes = [read_facts(data[:size]) for size in range(0, min(len(data), 8192), 7)]
    assert any(isinstance(one, Malformed) for one in outcomes)


def test_flipped_bytes_never_raise() -> None:
    data = _small_elf()
    source = random.Random(SEED)
    malformed = 0
    for n in range(1500):
        damaged = bytearray(data)
        for _ in range(source.randint(1, 4)):
            # Half of the damage goes to the headers, where it matters.
            limit = 1024 if n % 2 else len(damaged)
            damaged[source.randrange(4, limit)] = source.choice((0, 1, 0x7F, 0x80, 0xFF))
        malformed += isinstance(read_facts(bytes(damaged)), Malformed)
    assert malformed > 50


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize(
    ("text", "unwinds"),
    [
        ("void pthread_exit(void *); void f() { pthread_exit(0); }", True),
        ("void my_pthread_exit(void *); void f() { my_pthread_exit(0); }", False),
        ("int getpid(); int f() { return getpid(); }", False),
    ],
)
def test_functions_for_which_glibc_opens_libgcc(tmp_path: Path, text: str, unwinds: bool) -> None:
    out = str(tmp_path / "x.so")
    command = ["gcc", "-x", "c", "-", "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", out]
    subprocess.run(command, input=text.encode(), check=True)
    facts = read_facts(Path(out).read_bytes())
    assert isinstance(facts, ElfFacts)
    assert facts.unwinds == unwinds
