"""How members start is found out without zipfile where it would tell the same."""

from __future__ import annotations

import io
import random
import zipfile

import pytest

from occlum_build.elf import archive as archive_module
from occlum_build.elf.archive import read_outcome
from occlum_build.elf.zip_mutants_test import GOOD, mutant
from occlum_build.elf.zip_reader import BadZip, member_content, open_zip, start_of

SIZES = (64, 255, 256, 257, 4095, 4096, 4097, 9_000, 70_000)


def of_sizes(method: int, *, is_plain: bool) -> bytes:
    """Members of random bytes, or of text, which is packed to much less."""
    rng, stream = random.Random(1), io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as written:
        for number, size in enumerate((*SIZES, *rng.sample(range(64, 20_000), 30))):
            data = b"some words, " * (size // 12 + 1) if is_plain else rng.randbytes(size)
            written.writestr(f"{'ä' * (number % 3)}{number}", data[:size])
    return stream.getvalue()


ARCHIVES = {
    f"{'text' if is_plain else 'bytes'}, {method}": of_sizes(method, is_plain=is_plain)
    for is_plain in (False, True)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_sound_members(kind: str) -> None:
    with open_zip(io.BytesIO(ARCHIVES[kind])) as archive:
        for member in archive.infolist():
            start, first = start_of(archive, member), next(member_content(archive, member))
            assert start is not None and start.startswith(first) and len(first) >= 64


@pytest.mark.parametrize("kind", ARCHIVES)
def test_damaged_members(kind: str) -> None:
    """Where zipfile finds something wrong so far, the start is not known."""
    rng, known, unknown = random.Random(kind), 0, 0
    for _ in range(300):
        data = bytearray(ARCHIVES[kind])
        for _ in range(5):
            data[rng.randrange(len(data) * 9 // 10)] = rng.randrange(256)
        try:
            archive = open_zip(io.BytesIO(data))
        except BadZip:
            continue
        for member in archive.infolist():
            try:
                first: bytes | None = next(member_content(archive, member))
            except BadZip:
                first = None
            start = start_of(archive, member)
            assert start is None or (first is not None and start.startswith(first))
            known, unknown = known + (start is not None), unknown + (first is None)
    assert known > 1000 and unknown > 50


@pytest.mark.parametrize("kind", GOOD)
def test_mutants_are_told_of_as_by_zipfile(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, good = random.Random(f"start {kind}"), GOOD[kind]()
    mutants = [mutant(good, rng) for _ in range(600)]
    found = [read_outcome(io.BytesIO(one)) for one in mutants]
    monkeypatch.setattr(archive_module, "start_of", lambda *_: None)
    assert found == [read_outcome(io.BytesIO(one)) for one in mutants]
