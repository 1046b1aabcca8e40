"""What is read of zip archives, also of those that are made to do harm."""

from __future__ import annotations

import errno
import io
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.elf import archive, zip_reader
from occlum_build.elf.archive import read_outcome
from occlum_build.elf.facts import (
    Archive,
    ElfFacts,
    Script,
    outcome_from_json,
    outcome_to_json,
)
from occlum_build.elf.layout import MAGIC, layout_of

LIBRARY = ElfFacts("ET_DYN", "EM_X86_64", 64)
SEED = 20240501
ENTRY_MAGIC = b"PK\x01\x02"


def elf(machine: int = 62, *, padding: int = 0) -> bytes:
    """A shared object without segments: just a header."""
    header = layout_of(64, "<").ehdr.pack(
        e_type=3, e_machine=machine, e_phoff=64, e_phentsize=56, e_phnum=0
    )
    return MAGIC + bytes([2, 1, 1]) + header[7:] + b"\0" * padding


def made(
    files: Mapping[str, bytes], *, prefix: bytes = b"", method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as written:
        for name, content in files.items():
            written.writestr(name, content)
    return prefix + buffer.getvalue()


def read(data: bytes) -> Archive:
    outcome = read_outcome(io.BytesIO(data))
    assert isinstance(outcome, Archive)
    return outcome


def problem(data: bytes) -> str:
    (found,) = read(data).problems
    return found


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_elf_files_are_found_by_their_content(method: int) -> None:
    files = {
        "pkg/b.so": elf(),
        "pkg/data.so": b"no ELF file" * 10,
        "a.bin": elf(183),
        "pkg/": b"",
        "ä/lib.so": elf(padding=3 << 20),
    }
    found = read(made(files, method=method))
    arm = replace(LIBRARY, machine="EM_AARCH64")
    assert found == Archive(members=(("a.bin", arm), ("pkg/b.so", LIBRARY), ("ä/lib.so", LIBRARY)))
    assert outcome_from_json(outcome_to_json(found)) == found


def test_archive_behind_a_shebang() -> None:
    app = {"a.so": elf(), "__main__.py": b"print()"}
    found = read(made(app, prefix=b"#! /usr/bin/env  python3.9 -I\n# more\n"))
    assert found == Archive("/usr/bin/env python3.9 -I", (("a.so", LIBRARY),))
    assert read(made(app, prefix=b"#!/bin/\x1b[31m\xffsh\n")).interpreter == (
        r"'/bin/\x1b[31m\xffsh'"
    )


def test_what_is_no_archive() -> None:
    script = b"#!/bin/sh\n" + b"echo PK\n" * 20
    for data in (b"PK", b"PKG-INFO" * 10, made({"a": b"x"})[4:], made({}), b""):
        assert read_outcome(io.BytesIO(data)) is None
    assert read_outcome(io.BytesIO(script)) == Script("/bin/sh")
    assert read_outcome(io.BytesIO(elf())) == LIBRARY


def test_a_large_file_is_only_looked_at_where_it_begins() -> None:
    class Counted(io.BytesIO):
        bytes_read = 0

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.bytes_read += len(data)
            return data

    for head, most, expected in ((b"x", 400, None), (b"#!/bin/sh\n", 70_000, Script("/bin/sh"))):
        stream = Counted(head + b"\n" * (4 << 20))
        assert read_outcome(stream) == expected
        assert stream.bytes_read <= most


def test_the_shebang_line_of_a_script() -> None:
    for head, line, is_ended in (
        (b"#!/bin/sh\necho\n", "/bin/sh", True),
        (b"#! /usr/bin/env python3 -I \r\n", " /usr/bin/env python3 -I \r", True),
        (b"#!/bin/sh", "/bin/sh", False),
        (b"#!", "", False),
        (b"#!/\xff\n", "/\udcff", True),
        (b"#!" + b"x" * 300 + b"\n", "x" * 254, False),
    ):
        found = read_outcome(io.BytesIO(head))
        assert found == Script(line, is_ended)
        assert outcome_from_json(outcome_to_json(found)) == found


def test_archives_in_archives() -> None:
    jar = made({"native/libx.so": elf()})
    boot = made({"lib/inner.jar": jar, "lib/other.jar": made({})}, method=zipfile.ZIP_STORED)
    found = read(made({"boot.jar": boot}))
    assert found.members == (("boot.jar/lib/inner.jar/native/libx.so", LIBRARY),)
    assert found.problems == ()

    deep = jar
    for number in range(archive.MAX_DEPTH + 1):
        deep = made({f"{number}.zip": deep})
    assert read(deep).members == ()
    assert problem(deep) == (
        "3.zip/2.zip/1.zip/0.zip in it cannot be read: it lies in more than 3 archives"
    )


def test_zip64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)  # of what the module writes
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    data = made({"a.so": elf(), "b.so": elf()}, prefix=b"#!/bin/sh\n")
    assert b"PK\x06\x06" in data
    assert dict(read(data).members) == {"a.so": LIBRARY, "b.so": LIBRARY}


def test_comment_and_sizes_behind_the_content() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a.so", elf())
        written.comment = b"c" * 60_000
    data = pipe.getvalue()
    assert data[6] & 8  # the local header has no sizes
    assert read(data).members == (("a.so", LIBRARY),)


def test_damaged_archives(tmp_path: Path) -> None:
    good = made({"a.so": elf(), "b.so": elf(padding=100)})
    assert problem(good[:-30]) == "it cannot be read: its end is missing"
    entry = good.index(ENTRY_MAGIC)
    assert problem(good[:entry] + b"\0" + good[entry + 1 :]) == "it cannot be read: it is damaged"

    assert problem(good[:60] + good[90:]) == "a.so and b.so in it cannot be read: it is damaged"
    gap = good[:40] + good[50:]  # only b.so is where the directory says, from the end
    assert read(gap).members == (("b.so", LIBRARY),)
    assert problem(gap) == "a.so in it cannot be read: it is damaged"
    file = tmp_path / "gap.zip"  # a file tells of offsets before its start otherwise than a buffer
    file.write_bytes(gap)
    with file.open("rb") as stream:
        assert read_outcome(stream) == read(gap)

    name = good.index(b"b.so")
    broken = good[: name + 10] + b"\xff\xff" + good[name + 12 :]
    found = read(broken)
    assert found.members == (("a.so", LIBRARY),)
    assert found.problems == ("b.so in it cannot be read: it is damaged",)
    inner = read(made({"x.jar": good[:-30]}))
    assert inner.problems == ("x.jar in it cannot be read: its end is missing",)


def test_checksum() -> None:
    good = made({"a.so": elf(padding=9)}, method=zipfile.ZIP_STORED)
    position = good.index(MAGIC) + 66
    changed = good[:position] + b"x" + good[position + 1 :]
    assert problem(changed) == "a.so in it cannot be read: it is damaged"


def test_failing_disk_is_no_damage() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == entry:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    good = made({"a.so": elf()})
    entry = good.index(ENTRY_MAGIC)
    with pytest.raises(OSError, match="Input/output"):
        read_outcome(Failing(good))


def test_members_that_are_encrypted_or_packed_in_another_way() -> None:
    data = bytearray(made({f"{n}.so": elf() for n in range(3)}))
    for position in _entries(data):
        data[position + 8] |= 1
    assert problem(bytes(data)) == "0.so and 2 more in it cannot be read: it is encrypted"
    for position in _entries(data):
        data[position + 6] = 99  # tenths of the version that is needed
    assert problem(bytes(data)) == "it cannot be read: it needs a newer reader of archives"
    other = made({"a.so": elf()}, method=zipfile.ZIP_LZMA)
    assert problem(other) == "a.so in it cannot be read: it is compressed by method 14"


def test_malformed_elf_file_in_an_archive() -> None:
    data = made({"a.so": MAGIC + b"\xff" * 100, "b.so": elf()})
    assert read(data).members == (("b.so", LIBRARY),)
    assert problem(data).startswith("a.so in it cannot be read: it begins as an ELF file, but ")


@pytest.mark.parametrize("name", ["ä".encode(), b"\x84"])
def test_names_without_the_flag_of_utf_8(name: bytes) -> None:
    stand_in = b"x" * len(name) + b".so"
    data = made({stand_in.decode(): elf()}).replace(stand_in, name + b".so")
    assert read(data).members == (("ä.so", LIBRARY),)


@pytest.mark.parametrize("name", ["../a.so", "x/../../a.so", "/lib/a.so", "a\x1b[31m.so", ".."])
def test_names_that_lead_out_of_the_archive(name: str) -> None:
    data = made({name: elf(), "./x//y/../ok.so": elf()})
    assert read(data).members == (("x/ok.so", LIBRARY),)
    assert problem(data).endswith("in it cannot be read: its name is no path within an archive")
    assert problem(data).isprintable()


def test_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILE_BYTES", 1 << 20)
    monkeypatch.setattr(archive, "MAX_BYTES", 3 << 20)
    large = made({"bomb.so": elf(padding=1 << 20), "a.so": elf()})
    assert read(large).members == (("a.so", LIBRARY),)
    assert problem(large) == "bomb.so in it cannot be read: it is too large"
    many = made({f"{n}.so": elf(padding=(1 << 20) - 64) for n in range(5)})
    assert len(read(many).members) == 3
    assert problem(many) == "3.so and 4.so in it cannot be read: it is too large"
    nested = made({f"{n}.jar": made({"a.so": elf(padding=900_000)}) for n in range(5)})
    assert len(read(nested).members) == 3
    assert problem(nested) == "3.jar/a.so and 4.jar/a.so in it cannot be read: it is too large"


@pytest.mark.parametrize("size", [1000, 60 << 20])
def test_member_that_lies_about_its_size(size: int) -> None:
    data = bytearray(made({"a.so": elf(padding=50 << 20)}))
    (position,) = _entries(data)
    struct.pack_into("<I", data, position + 24, size)
    tracemalloc.start()
    try:
        assert problem(bytes(data)) == "a.so in it cannot be read: it is damaged"
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_numbers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = made({f"{n}.so": elf() for n in range(5)})
    monkeypatch.setattr(archive, "MAX_ELF_FILES", 2)
    assert problem(data) == "2.so and 2 more in it cannot be read: there are more than 2 ELF files"
    monkeypatch.setattr(archive, "MAX_MEMBERS", 2)
    assert problem(data) == "it cannot be read: it has more than 2 members"
    monkeypatch.setattr(zip_reader, "MAX_DIRECTORY_BYTES", 20)
    assert problem(data) == "it cannot be read: its directory has more than 20 bytes"


def test_damage_anywhere_is_told_or_does_no_harm() -> None:
    """Any exception but the reader's own would come through."""
    generator = random.Random(SEED)
    files = {"a.so": elf(), "in.jar": made({"b.so": elf()}), "c.txt": b"text" * 40}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        good = made(files, method=method)
        for position in range(len(good)):
            for value in (0, 0xFF, generator.randrange(256)):
                changed = good[:position] + bytes([value]) + good[position + 1 :]
                read_outcome(io.BytesIO(changed))
            read_outcome(io.BytesIO(good[:position]))


def _entries(data: bytearray) -> list[int]:
    """Where the entries of the central directory start."""
    found, position = [], data.find(ENTRY_MAGIC)
    while position >= 0:
        found.append(position)
        position = data.find(ENTRY_MAGIC, position + 1)
    return found
