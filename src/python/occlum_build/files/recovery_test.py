"""Copies of directories in the middle of a change, and those that were moved."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files import moves
from occlum_build.files.change import Change
from occlum_build.files.prefix import PREFIX
from occlum_build.files.recovery import sweep
from occlum_build.files.stages import has_stages
from occlum_build.files.testing import content, killed, two_files

NEW = {"a": "new a", "b": "new b"}
TOLD = "this is a copy of a directory in the middle of a change"


@pytest.fixture(params=["exchange", "two renames"])
def each_way(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without a file system that exchanges two things."""
    if request.param == "two renames":
        monkeypatch.setattr(moves, "exchange", lambda _first, _second: False)


def copied(folder: Path, *options: str) -> Path:
    copy = folder.with_name(f"copy of {folder.name}")
    subprocess.run(["cp", *(options or ("-a",)), folder, copy], check=True)
    return copy


def in_two(top: Path, after: int) -> None:
    """A change in two directories that was cut off."""
    for name in ("one", "two"):
        (top / name).mkdir(parents=True)
    (top / "one/a").write_text("old")
    killed(lambda: two_files(top / "one", top / "two"), after)


def refuse(folder: Path) -> OcclumError:
    before = content(folder)
    with pytest.raises(OcclumError, match=TOLD) as error:
        sweep(folder)
    assert content(folder) == before
    assert error.value.code == "copied"
    return error.value


@pytest.mark.usefixtures("each_way")
@pytest.mark.parametrize("old", [(), ("a",), ("b",), ("a", "b")])
@pytest.mark.parametrize("after", [0, 1])
def test_a_copy_is_completed_and_the_original_stays(
    tmp_path: Path, old: tuple[str, ...], after: int
) -> None:
    (tmp_path / "d").mkdir()
    for name in old:
        (tmp_path / "d" / name).write_text("old")
    killed(lambda: two_files(tmp_path / "d"), after)
    copy, before = copied(tmp_path / "d"), content(tmp_path / "d")
    sweep(copy)
    assert content(copy) == NEW
    assert content(tmp_path / "d") == before
    sweep(tmp_path / "d")
    assert content(tmp_path / "d") == NEW


@pytest.mark.parametrize("after", [0, 1])
def test_directories_are_told_from_one_another_too(tmp_path: Path, after: int) -> None:
    (tmp_path / "d/tree/old").mkdir(parents=True)
    (tmp_path / "d/link").symlink_to("old")

    def change_both() -> None:
        with Change() as change:
            (change.part(tmp_path / "d/tree") / "new").mkdir(parents=True)
            change.part(tmp_path / "d/link").symlink_to("new target")
            change.commit()

    killed(change_both, after)
    copy = copied(tmp_path / "d")
    sweep(copy)
    assert content(copy).keys() == {"tree", "tree/new", "link"}
    assert os.readlink(copy / "link") == "new target"


def test_a_copy_without_times_tells_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_text("old a")
    killed(lambda: two_files(tmp_path / "d"), 1)
    copy = copied(tmp_path / "d", "-r")
    error = refuse(copy)
    (stage,) = copy.glob(f"{PREFIX}*")
    assert error.problems[0].place is not None and error.problems[0].place.file == str(copy)
    assert f"or remove {stage}, and make anew" in str(error)
    with pytest.raises(OcclumError, match=TOLD):
        two_files(copy)
    shutil.rmtree(stage)
    two_files(copy)
    sweep(tmp_path / "d")
    assert content(copy) == content(tmp_path / "d") == NEW


def test_nothing_is_done_where_one_of_two_moves_is_unclear(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/b").write_text("old")
    killed(lambda: two_files(tmp_path / "d"), 0)
    copy = copied(tmp_path / "d")
    (copy / "b").write_text("changed in the copy")
    refuse(copy)


def test_of_what_looks_the_same_nobody_knows_which_is_new(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()

    def same() -> None:
        with Change() as change:
            for name in ("a", "b"):
                change.write(tmp_path / "d" / name, b"same")
                (tmp_path / "d" / name).write_text("same")
            for path in tmp_path.glob("d/**/*"):
                os.utime(path, ns=(5, 5))
            change.commit()

    killed(same, 1)
    refuse(copied(tmp_path / "d"))


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("used", ["one", "two"])
def test_a_copy_of_all_directories_of_a_change(tmp_path: Path, after: int, used: str) -> None:
    in_two(tmp_path / "top", after)
    copy, before = copied(tmp_path / "top"), content(tmp_path / "top")
    sweep(copy / used)
    sweep(copy / "one")
    sweep(copy / "two")
    assert content(copy) == {"one": "/", "one/a": "new a", "two": "/", "two/b": "new b"}
    assert content(tmp_path / "top") == before


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("used", ["one", "two"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_copy_of_one_directory_of_a_change(
    tmp_path: Path, after: int, used: str, beside: bool
) -> None:
    top = tmp_path / "top"
    in_two(top, after)
    copy, before = copied(top / used), content(top)
    if not beside:
        copy = copy.rename(tmp_path / "elsewhere")
        before = content(top)
    refuse(copy)
    assert content(top) == before
    sweep(top / "two")
    assert (top / "one/a").read_text() == "new a" and (top / "two/b").read_text() == "new b"


@pytest.mark.parametrize("used", ["one", "two"])
def test_a_change_in_two_directories_that_were_moved_together(tmp_path: Path, used: str) -> None:
    in_two(tmp_path / "top", 1)
    (tmp_path / "top").rename(tmp_path / "moved")
    sweep(tmp_path / "moved" / used)
    sweep(tmp_path / "moved/two")
    expected = {"one": "/", "one/a": "new a", "two": "/", "two/b": "new b"}
    assert content(tmp_path / "moved") == expected


def test_what_ended_before_it_was_copied_is_only_cleaned_up(tmp_path: Path) -> None:
    in_two(tmp_path / "top", 1)
    (stage,) = (tmp_path / "top/two").glob(f"{PREFIX}*")
    shutil.copytree(stage, tmp_path / "kept")
    sweep(tmp_path / "top/one")
    shutil.copytree(tmp_path / "kept", stage)  # whose removal failed
    copy = copied(tmp_path / "top")
    sweep(copy / "two")
    assert not has_stages(copy / "two")
    assert (copy / "two/b").read_text() == "new b"


def test_restored_inode_numbers_do_not_make_an_original(tmp_path: Path) -> None:
    """As where the original was removed before what was kept of it was unpacked."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_text("old")
    killed(lambda: two_files(tmp_path / "d"), 1)
    (stage,) = (tmp_path / "d").glob(f"{PREFIX}*")
    for path in (*stage.glob("part*"), tmp_path / "d/a"):
        kept = path.with_name("kept")
        shutil.copy2(path, kept)  # before the other is removed: another inode
        os.replace(kept, path)
    sweep(tmp_path / "d")
    assert content(tmp_path / "d") == NEW
