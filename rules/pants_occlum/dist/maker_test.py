"""Files of a tree that somebody makes in place."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sources.model import FILE
from pants_occlum.dist import maker as making
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.index import DistIndex
from pants_occlum.dist.maker import Maker, make_files
from pants_occlum.dist.tree import TreeWriter

CONTENTS = {f"{folder}/{name}": f"{folder}{name}".encode() for folder in "ab" for name in "xyz"}


def entry_of(path: str) -> TreeEntry:
    content = CONTENTS[path]
    return TreeEntry(path, FILE, 0o644, hashlib.sha256(content).hexdigest(), len(content))


ENTRIES = [entry_of(path) for path in sorted(CONTENTS)]
MADE = {entry.sha256 for entry in ENTRIES if entry.path != "b/z"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "dist"


def write(directory: str, entries: Sequence[TreeEntry]) -> None:
    for entry in entries:
        file = Path(directory, entry.path.rpartition("/")[2])
        file.write_bytes(CONTENTS[entry.path])
        file.chmod(0o644)


async def make(directory: str, entries: Sequence[TreeEntry]) -> None:
    write(directory, entries)


def found(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("*/*")}


@pytest.mark.parametrize("most_bytes", [1, 4, 1 << 20])
def test_in_new_directories_and_in_old_ones(
    root: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setattr(making, "MADE_BYTES", most_bytes)
    (root / "a").mkdir(parents=True)
    (root / "a/y").write_bytes(b"another")
    groups: list[list[str]] = []

    async def told(directory: str, entries: Sequence[TreeEntry]) -> None:
        groups.append([entry.path for entry in entries])
        assert len({os.path.dirname(path) for path in groups[-1]}) == 1
        assert sum(entry.size for entry in entries) <= most_bytes or len(entries) == 1
        write(directory, entries)

    index = DistIndex()
    writer = TreeWriter(str(root), ENTRIES, index)
    left = asyncio.run(make_files(writer, writer.compare(), Maker(MADE, told), nullcontext))
    assert [entry.path for entry in left] == ["b/z"]
    assert writer.put(left[0], CONTENTS["b/z"])
    writer.finish()
    assert sorted(path for group in groups for path in group) == ["a/x", "a/y", "a/z", "b/x", "b/y"]
    assert found(root) == CONTENTS
    assert sorted(os.listdir(root)) == ["a", "b"]
    assert not TreeWriter(str(root), ENTRIES, index).compare()


@pytest.mark.parametrize("is_old", [True, False])
def test_an_error_leaves_nothing_of_what_was_made(root: Path, is_old: bool) -> None:
    before = {}
    if is_old:
        before = {"a/x": b"another", "b/x": b"another"}
        for path, content in before.items():
            (root / path).parent.mkdir(parents=True)
            (root / path).write_bytes(content)

    async def fail(directory: str, entries: Sequence[TreeEntry]) -> None:
        write(directory, entries[:2])
        raise OcclumError("dist", "no space")

    writer = TreeWriter(str(root), ENTRIES, DistIndex())
    with pytest.raises(OcclumError, match="no space"):
        asyncio.run(make_files(writer, writer.compare(), Maker(MADE, fail), nullcontext))
    writer.finish()
    assert found(root) == before
    assert sorted(os.listdir(root)) == ["a", "b"]


@pytest.mark.parametrize("is_old", [True, False])
def test_who_lost_the_lock_is_told_that(root: Path, is_old: bool) -> None:
    """Though what it meets is that the directory has gone, as the other removes it."""
    has_lock = True
    if is_old:
        (root / "a").mkdir(parents=True)
        (root / "a/x").touch()

    @contextmanager
    def turn() -> Iterator[None]:
        if not has_lock:
            raise OcclumError("dist-busy", "another target writes here")
        yield

    async def lose(directory: str, _: Sequence[TreeEntry]) -> None:
        nonlocal has_lock
        has_lock = False
        shutil.rmtree(directory)
        write(directory, ENTRIES[:1])

    writer = TreeWriter(str(root), ENTRIES, DistIndex())
    with pytest.raises(OcclumError) as caught:
        asyncio.run(make_files(writer, writer.compare(), Maker(MADE, lose), turn))
    assert [problem.code for problem in caught.value.problems] == ["dist-busy"]


def test_a_file_that_was_not_made(root: Path) -> None:
    async def forget(directory: str, entries: Sequence[TreeEntry]) -> None:
        write(directory, entries[:1])

    writer = TreeWriter(str(root), ENTRIES, DistIndex())
    with pytest.raises(OcclumError) as caught:
        asyncio.run(make_files(writer, writer.compare(), Maker(MADE, forget), nullcontext))
    (problem,) = caught.value.problems
    assert problem.code == "dist"
    assert str(problem.place).endswith("dist/a/y")
