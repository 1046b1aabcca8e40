"""What changes between plan and copy, or while it is written, is told and not copied."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Callable

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files.source import Identity
from occlum_build.image.entries import DIR, Entry
from occlum_build.image.existing import files_by_name, others_in
from occlum_build.image.plan import ImagePlan
from occlum_build.image.testing_write import (
    DUE,
    OLD,
    PLAN,
    dir_at,
    file_at,
    link_at,
    tree_of,
    write_image,
)
from occlum_build.image.write import ImageWriter
from occlum_build.sources import extras
from occlum_build.sources.os import OsSources


class ChangingSources(OsSources):
    """Sources of which one changes at the last moment before it is opened to be copied."""

    def __init__(self, root: Path, change: Callable[[], None]) -> None:
        super().__init__(str(root))
        self.change = change

    def identity(self, path: str) -> Identity | None:
        self.change()
        return super().identity(path)


def _planned(sources: OsSources, *entries: Entry) -> ImagePlan:
    for entry in entries:
        assert sources.lstat(entry.source) is not None
    return ImagePlan(entries)


def _replace_by_link(file: Path) -> None:
    (file.parent / "other").write_bytes(b"evil")
    file.unlink()
    file.symlink_to("other")


def _replace_by_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _replace_by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _replace_by_twin(file: Path) -> None:
    """Another file of the same size and time."""
    twin = file.parent / "twin"
    twin.write_bytes(b"9" * 10)
    os.utime(twin, ns=(OLD, OLD))
    twin.replace(file)


def _write_in_place(file: Path) -> None:
    file.write_bytes(b"9" * 10)
    os.utime(file, ns=(OLD, OLD))


def _move_parent(file: Path) -> None:
    parent = file.parent
    parent.rename(parent.with_name("moved"))
    parent.symlink_to("moved")


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (_replace_by_link, "source-changed", "/f: is a link now, and was a file"),
        (_replace_by_fifo, "source-changed", "/f: is not a regular file any more"),
        (_replace_by_directory, "source-changed", "/f: is not a regular file any more"),
        (_replace_by_twin, "source-changed", "/f: changed after the image was planned"),
        (_write_in_place, "source-changed", "/f: changed after the image was planned"),
        (Path.unlink, "file", "/f cannot be read: No such file or directory"),
    ],
)
def test_a_source_that_is_another_one_than_planned(
    source: Path, image: Path, change: Callable[[Path], None], code: str, message: str
) -> None:
    (source / "f").write_bytes(b"1" * 10)
    os.utime(source / "f", ns=(OLD, OLD))
    write_image(source, image, file_at("f", "a"))
    sources = ChangingSources(source, lambda: change(source / "f"))
    plan = _planned(sources, file_at("f", "/f"))
    with pytest.raises(OcclumError) as raised:
        ImageWriter(str(image), sources).write(plan)
    assert raised.value.code == code
    assert str(raised.value).startswith(f"{source}{message}")
    assert tree_of(image) == {"f": (0o644, "1" * 10)}


def test_a_directory_of_a_source_that_is_replaced_by_a_link(source: Path, image: Path) -> None:
    (source / "sub").mkdir()
    (source / "sub/f").write_bytes(b"1")
    sources = OsSources(str(source))
    plan = _planned(sources, file_at("f", "/sub/f"))
    _move_parent(source / "sub/f")
    with pytest.raises(OcclumError, match="sub/f cannot be read: Not a directory"):
        ImageWriter(str(image), sources).write(plan)
    assert tree_of(image) == {}


def _and_then(
    call: Callable[..., object], change: Callable[[], object], file: Path, *arguments: object
) -> object:
    found = call(*arguments)
    change()
    os.utime(file, ns=(OLD, OLD))
    return found


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("is_hashed", [False, True])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_a_source_that_changes_while_it_is_copied(
    source: Path,
    image: Path,
    size: int,
    is_hashed: bool,
    is_sparse: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Overwritten, made longer or shorter, with its time set back, between two reads."""
    file = source / "f"
    hooked = ((os, "sendfile"), (os, "pread"), (extras, "data_ranges"))
    changes: tuple[Callable[[], object], ...] = (
        partial(file.write_bytes, b"9" * size),
        partial(os.truncate, file, size + 1),
        partial(os.truncate, file, size - 1),
        file.touch,
    )
    for change in changes:
        file.write_bytes(b"" if is_sparse else b"1" * size)
        os.truncate(file, size)
        os.utime(file, ns=(OLD, OLD))
        sources = OsSources(str(source))
        plan = _planned(sources, file_at("f", "/f"))
        if is_hashed:
            sources.sha256("/f")

        for module, name in hooked:
            call = partial(_and_then, getattr(module, name), change, file)
            monkeypatch.setattr(module, name, call)
        with pytest.raises(OcclumError, match="f: changed while it was read") as raised:
            ImageWriter(str(image), sources).write(plan)
        monkeypatch.undo()
        assert raised.value.code == "source-changed"
        assert tree_of(image) == {}


def test_a_hash_is_compared_with_what_is_copied(source: Path, image: Path) -> None:
    """Also where the file tells of no change, as after a write to a mapping."""
    sources = OsSources(str(source))
    plan = _planned(sources, file_at("a", "/a"))
    sources.sha256("/a")
    ImageWriter(str(image), sources).write(plan)
    sources._hashes["/a"] = "0" * 64
    for existing in (b"1" * 10, b"2" * 10):
        (image / "a").write_bytes(existing)
        with pytest.raises(OcclumError, match="a: changed while it was read"):
            ImageWriter(str(image), sources).write(plan)
        assert (image / "a").read_bytes() == existing


def test_a_source_that_says_that_it_is_empty(image: Path) -> None:
    sources = OsSources()
    plan = _planned(sources, file_at("limits", f"/proc/{os.getpid()}/limits"))
    ImageWriter(str(image), sources).write(plan)
    assert b"Max open files" in (image / "limits").read_bytes()


@pytest.mark.parametrize("victim", ["d", "d/e", ""])
@pytest.mark.parametrize("moment", ["a", "b", "e", "l"])
def test_a_directory_of_the_image_that_is_replaced_is_not_followed(
    source: Path, image: Path, victim: str, moment: str
) -> None:
    """By a link to elsewhere, when the entry with the name of the moment is about to be written."""
    outside = image.parent / "outside"
    (outside / "e").mkdir(parents=True)
    files = (file_at("d/a", "/a"), file_at("d/e/b", "/b"), file_at("e", "/empty"))
    plan = ImagePlan((dir_at("d"), dir_at("d/e"), *files, link_at("l", "d/a")))

    def replace(entry: Entry) -> None:
        if entry.path.endswith(moment) and entry.kind != DIR:
            (image / victim).rename(image.parent / "moved")
            (image / victim).symlink_to(outside)

    with pytest.raises(OcclumError, match="cannot be written: ") as raised:
        ImageWriter(str(image), OsSources(str(source))).write(plan, progress=replace)
    assert raised.value.code == "write"
    assert [path.name for path in outside.rglob("*")] == ["e"]


def test_deep_trees_are_synced(source: Path, image: Path) -> None:
    write_image(source, image, *PLAN)
    here = os.open(image / "d", os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    assert others_in(str(image), ImagePlan(PLAN)) == ["d/deep"]
    result = write_image(source, image, *PLAN, sync=True)
    assert (tree_of(image), result.removed) == (DUE, 1)


def test_files_by_name(image: Path) -> None:
    (image / "a/b").mkdir(parents=True)
    (image / "a/x").touch()
    (image / "a/b/x").symlink_to("gone")
    (image / "a/linked").symlink_to("b")
    assert {name: sorted(found) for name, found in files_by_name(str(image)).items()} == {
        "x": ["a/b/x", "a/x"]
    }
    assert files_by_name(str(image / "gone")) == {}
