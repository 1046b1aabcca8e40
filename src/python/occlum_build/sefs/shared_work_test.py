from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.errors import OcclumError
from occlum_build.sefs import shared_work as shared
from occlum_build.sefs import writer
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.pf_format import Layout
from occlum_build.sefs.shared_work import MOST_TASKS, shared_work
from occlum_build.sefs.tree import scan_tree
from occlum_build.sefs.verify import verify_image
from occlum_build.sefs.writer import zip_image

KEY = UserKey(bytes(range(16)))
MIB = 1 << 20

sizes = st.lists(st.one_of(st.integers(0, 50_000), st.integers(0, 5 << 30)), max_size=40)


@given(sizes)
def test_all_is_shared_out_once(sizes: list[int]) -> None:
    work = shared_work(sizes)
    assert len(work) <= MOST_TASKS
    groups: dict[int, list[int]] = {}
    entries: list[int] = []
    for one in work:
        if one.groups is None:
            entries += range(one.start, one.end)
        else:
            assert one.end == one.start + 1
            groups.setdefault(one.start, []).extend(one.groups)
    assert sorted([*entries, *groups]) == list(range(len(sizes)))
    for number, found in groups.items():
        assert found == list(range(Layout(sizes[number]).mht_nodes))


@pytest.mark.parametrize("files", [[1 << 40], [20_000] * 3_000_000, [9 * MIB] * 100_000])
def test_there_are_not_too_many_tasks(files: list[int]) -> None:
    assert len(shared_work(files)) <= MOST_TASKS


def make_tree(root: Path) -> Path:
    source = random.Random(1)
    for number in range(700):
        path = root / f"{number // 100}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source.randbytes(source.randrange(20_000)))
    (root / "large").write_bytes(source.randbytes(20 * MIB + 17))
    (root / "link").symlink_to("large")
    return root


@pytest.mark.parametrize("key", [None, KEY])
def test_several_processes_write_what_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: UserKey | None
) -> None:
    tree = make_tree(tmp_path / "tree")
    found = []
    for workers in (1, 3):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=workers: set(range(cores)))
        image = tmp_path / f"image{workers}"
        result = zip_image(tree, image, user_key=key, salt=bytes(32))
        content = {path.name: path.read_bytes() for path in image.iterdir()}
        found.append((result, content))
    assert found[0] == found[1]
    verify_image(tmp_path / "image3", key, mac=found[0][0].mac)


def test_a_change_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = make_tree(tmp_path / "tree")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    def scan_and_change(*arguments: object) -> object:
        found = scan_tree(*arguments)  # type: ignore[arg-type]
        os.utime(tree / "large", ns=(0, 0))
        return found

    monkeypatch.setattr(writer, "scan_tree", scan_and_change)
    with pytest.raises(OcclumError, match="large: changed after the image was planned") as error:
        zip_image(tree, tmp_path / "image")
    assert error.value.code == "sefs-source-changed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tree"]


def test_little_is_written_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").write_bytes(bytes(shared.SHARED_BYTES - 1))
    monkeypatch.delattr(writer, "share_work")
    zip_image(tmp_path / "tree", tmp_path / "image")
