"""Archives of which the bounds hold: bytes that are named twice, and all archives of a run."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from occlum_build.elf import archive
from occlum_build.elf.archive import read_archive
from occlum_build.elf.budget import Unpacking
from occlum_build.elf.testing_made import made_elf
from occlum_build.errors import TooMuch

ENTRY_MAGIC = b"PK\x01\x02"


def _made(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        for name in names:
            written.writestr(name, made_elf())
    return buffer.getvalue()


def _at_one_place(data: bytes) -> bytes:
    """All entries of the directory lead to the first member."""
    changed, position = bytearray(data), data.find(ENTRY_MAGIC)
    while position >= 0:
        struct.pack_into("<I", changed, position + 42, 0)
        position = data.find(ENTRY_MAGIC, position + 1)
    return bytes(changed)


def test_members_at_one_place_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[int] = []
    monkeypatch.setattr(Unpacking, "add", lambda _, size=0, **__: unpacked.append(size))
    found = read_archive(io.BytesIO(_at_one_place(_made("a.so", "b.so", "c.so"))))
    assert found.problems[0] == (
        "a.so and b.so in it cannot be read: it lies where another member does"
    )
    assert sum(map(bool, unpacked)) <= 1


def test_a_member_that_reaches_into_the_next_one() -> None:
    data = bytearray(_made("a.so", "b.so"))
    entry = data.index(ENTRY_MAGIC)
    size = struct.unpack_from("<I", data, entry + 20)[0]
    struct.pack_into("<I", data, entry + 20, size + 50)
    found = read_archive(io.BytesIO(bytes(data)))
    assert [path for path, _ in found.members] == ["b.so"]
    assert found.problems == ("a.so in it cannot be read: it lies where another member does",)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_elf_files_of_one_name_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_ELF_FILES", 2)
    (problem,) = read_archive(io.BytesIO(_made(*["a.so"] * 5))).problems
    assert problem.endswith("there are more than 2 ELF files")


@pytest.mark.parametrize(
    ("bound", "most", "text"),
    [
        ("MAX_MEMBERS", 7, "7 members"),
        ("MAX_UNPACKED", 7 * len(made_elf()), "bytes of ELF files and archives in them"),
    ],
)
def test_all_archives_of_a_run(
    bound: str, most: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"occlum_build.elf.budget.{bound}", most)
    unpacking, data = Unpacking("/d/x.zip"), _made("a.so", "b.so", "c.so")
    for _ in range(2):
        assert len(read_archive(io.BytesIO(data), unpacking).members) == 3
    with pytest.raises(TooMuch, match=f"more than .*{text}, the last is '?/d/x.zip"):
        read_archive(io.BytesIO(data), unpacking)
