from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from occlum_build.files.compressed import decompressed
from occlum_build.oci import parts
from occlum_build.oci.layer import MEDIA_TYPES, write_layer
from occlum_build.oci.parts import join_parts, pack_part, parts_of
from occlum_build.process.contents import Contents

MIB = 1 << 20


def _rows(root: Path, count: int = 40) -> list[dict[str, Any]]:
    rows = [{"path": "d", "type": "dir", "mode": 0o755, "target": ""}]
    (root / "d").mkdir(parents=True)
    for number in range(count):
        path = f"d/{number:03}"
        (root / path).write_bytes(hashlib.sha256(path.encode()).digest() * (number * 700))
        rows.append({"path": path, "type": "file", "mode": 0o644, "target": ""})
    rows.append({"path": "x" * 120, "type": "symlink", "mode": 0o777, "target": "d/000"})
    return rows


@pytest.mark.parametrize("compression", MEDIA_TYPES)
def test_joined_parts_are_the_archive(
    tmp_path: Path, compression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 40_000)
    monkeypatch.setattr(parts, "_LEAST_BYTES", 20_000)
    rows = _rows(tmp_path / "tree")
    tree = str(tmp_path / "tree")
    whole = write_layer(tree, rows, str(tmp_path / "whole"), compression)
    sizes = [(tmp_path / "tree" / row["path"]).stat().st_size for row in rows[:-1]]
    counts = parts_of(zip((row["path"] for row in rows), [*sizes, 0]))
    assert len(counts) > 5 and sum(counts) == len(rows)
    made, start = [], 0
    for number, count in enumerate(counts):
        made.append(tmp_path / f"{number:04}")
        pack_part(rows[start : start + count], Contents(tree), str(made[-1]), compression)
        start += count

    info = join_parts(made, tmp_path / "joined", compression)

    joined = (tmp_path / "joined").read_bytes()
    assert (info.diff_id, info.media_type) == (whole.diff_id, whole.media_type)
    assert info.digest == f"sha256:{hashlib.sha256(joined).hexdigest()}"
    assert info.size == len(joined)
    with decompressed(io.BytesIO(joined)) as stream:
        archive = b""
        while chunk := stream.read(MIB):
            archive += chunk
    assert f"sha256:{hashlib.sha256(archive).hexdigest()}" == whole.diff_id
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        assert [one.name for one in members] == [row["path"] for row in rows]


def test_small_archives_are_one_part() -> None:
    assert parts_of([("a", 20 * MIB), ("b", 12 * MIB)]) == [2]
    assert parts_of([]) == [0]


def test_no_part_but_that_of_a_larger_file_has_more_than_it_may() -> None:
    assert parts_of([("a", MIB), ("b", 40 * MIB), ("c", MIB), ("d", MIB)]) == [1, 1, 2]
    files = [(f"{number}", number * 1000) for number in range(1, 1000)]
    start = 0
    for count in parts_of(files):
        assert sum(size for _, size in files[start : start + count]) <= parts.PART_BYTES
        start += count


def test_parts_behind_a_new_file_stay() -> None:
    files = [(f"d/{number:05}", 60_000) for number in range(5_000)]

    def cut(given: list[tuple[str, int]]) -> set[tuple[str, ...]]:
        found, start = set(), 0
        for count in parts_of(given):
            found.add(tuple(path for path, _ in given[start : start + count]))
            start += count
        return found

    before, after = cut(files), cut([*files[:100], ("d/00099x", 60_000), *files[100:]])
    assert len(before) > 8
    assert len(after - before) <= 3
