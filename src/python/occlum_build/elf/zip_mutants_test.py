"""Zip archives with anything wrong in them: each is read, or says what is wrong, within bounds."""

from __future__ import annotations

import io
import random
import tracemalloc
import zipfile
from typing import Callable

import pytest

from occlum_build.elf.archive import read_outcome
from occlum_build.elf.facts import Archive, Outcome, outcome_from_json, outcome_to_json
from occlum_build.elf.layout import MAGIC, layout_of

MUTANTS = 2_500  # of each kind
MOST_MEMORY = 32 << 20
EXTREMES = (0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF)


class Unseekable(io.BytesIO):
    """Written to one, an archive has the sizes of members behind them."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation


class Counted(io.BytesIO):
    bytes_read = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.bytes_read += len(data)
        return data


def elf() -> bytes:
    header = layout_of(64, "<").ehdr.pack(
        e_type=3, e_machine=62, e_phoff=64, e_phentsize=56, e_phnum=0
    )
    return MAGIC + bytes([2, 1, 1]) + header[7:] + bytes(40)


def archive(method: int, stream: io.BytesIO, *, is_large: bool = False) -> bytes:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", method) as written:
        written.writestr("b.so", elf())
    with zipfile.ZipFile(stream, "w", method) as written:
        for name, data in (("a.so", elf()), ("in.jar", inner.getvalue()), ("ü.py", b"x" * 99)):
            with written.open(name, "w", force_zip64=is_large) as member:
                member.write(data)
        written.comment = b"a comment"
    return stream.getvalue()


GOOD: dict[str, Callable[[], bytes]] = {
    "stored": lambda: archive(zipfile.ZIP_STORED, io.BytesIO()),
    "deflated": lambda: archive(zipfile.ZIP_DEFLATED, io.BytesIO()),
    "behind a script, with sizes behind members": lambda: (
        b"#!/usr/bin/env python3\n" + archive(zipfile.ZIP_DEFLATED, Unseekable())
    ),
    "of large sizes": lambda: archive(zipfile.ZIP_DEFLATED, io.BytesIO(), is_large=True),
}


def mutant(good: bytes, rng: random.Random) -> bytes:
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        at, way = rng.randrange(len(data) or 1), rng.random()
        if way < 0.1:
            del data[at:]
        elif way < 0.2:
            del data[at : at + rng.randrange(1, 40)]
        elif way < 0.3:  # a record twice, or one in another's place
            begin = rng.randrange(len(good))
            data[at : at + rng.choice((0, 46))] = good[begin : begin + rng.randrange(1, 200)]
        elif way < 0.6:
            width = rng.choice((2, 4, 8))
            extreme = rng.choice(EXTREMES) & (1 << 8 * width) - 1
            data[at : at + width] = extreme.to_bytes(width, "little")
        else:
            data[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(data)


def is_fit(found: Outcome) -> bool:
    """Can it be kept, and is it right to show it?"""
    if isinstance(found, Archive):
        paths = [path for path, _ in found.members]
        assert not any(one.startswith("/") or ".." in one.split("/") for one in paths)
        assert all(text.isprintable() for text in (*paths, *found.problems))
    return outcome_from_json(outcome_to_json(found)) == found


@pytest.mark.parametrize("kind", GOOD)
def test_mutants(kind: str) -> None:
    rng, good = random.Random(f"zip {kind}"), GOOD[kind]()
    due = read_outcome(io.BytesIO(good))
    assert isinstance(due, Archive) and len(due.members) == 2 and not due.problems
    told, as_before = 0, 0
    tracemalloc.start()
    for _ in range(MUTANTS):
        stream = Counted(mutant(good, rng))
        found = read_outcome(stream)
        assert is_fit(found)
        told += isinstance(found, Archive) and bool(found.problems)
        as_before += found == due
        # Each record of a member is looked at once; a search for the end reads no more than 64 KiB.
        assert stream.bytes_read < 20 * len(good) + (1 << 17)
    assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    tracemalloc.stop()
    assert told > MUTANTS // 12 and as_before > MUTANTS // 12
