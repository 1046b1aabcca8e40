from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum import entries as tree
from occlum_build.occlum.adding import install, with_added
from occlum_build.occlum.testing import snapshot
from occlum_build.sources.model import DIR, FILE, SYMLINK


@pytest.mark.parametrize(
    ("base", "added", "message"),
    [
        (tree.link("etc", "cfg"), "etc/key", "etc: is a symlink, where a directory belongs"),
        (tree.link("etc", "/"), "etc/a/b/key", "etc: is a symlink, where a directory belongs"),
        (tree.link("etc/a", "b"), "etc/a/key", "etc/a: is a symlink, where a directory belongs"),
        (tree.file_of("etc", b""), "etc/key", "etc: is a file, where a directory belongs"),
        (tree.directory("etc/key"), "etc/key", "etc/key: is a directory, where a file belongs"),
    ],
)
def test_what_is_added_has_a_place(base: tree.TreeEntry, added: str, message: str) -> None:
    with pytest.raises(OcclumError, match=f"mine/initfs/{message}") as error:
        with_added(tree.merged([base]), [tree.file_of(added, b"x")], "mine/initfs")
    assert error.value.problems[0].hint


def test_what_is_added_replaces_files_and_links() -> None:
    base = [tree.directory("etc"), tree.link("etc/key", "/k"), tree.file_of("etc/f", b"old")]
    added = [tree.file_of(path, b"new") for path in ("etc/key", "etc/f", "more/g")]
    assert with_added(base, added, "x") == tree.merged(base, added)


def test_install_keeps_directories_and_replaces_files(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b").chmod(0o700)
    (tmp_path / "a/b/own").write_text("kept")
    (tmp_path / "a/old").write_text("old")
    (tmp_path / "a/b-c").symlink_to("nowhere")
    install(
        tree.merged(
            [tree.file_of("a/b/new/in/f", b"f"), tree.file_of("a/old", b"new", 0o755)],
            [tree.link("a/b-c", "b"), tree.TreeEntry("a/d", DIR, 0o711)],
        ),
        tmp_path,
    )
    found = [
        (entry.path, entry.kind, entry.mode)
        for entry in tree.scan(tmp_path)
        if entry.kind != SYMLINK
    ]
    assert found == [
        ("a", DIR, 0o755),
        ("a/b", DIR, 0o755),
        ("a/b/new", DIR, 0o755),
        ("a/b/new/in", DIR, 0o755),
        ("a/b/new/in/f", FILE, 0o644),
        ("a/b/own", FILE, 0o644),
        ("a/d", DIR, 0o711),
        ("a/old", FILE, 0o755),
    ]
    assert os.readlink(tmp_path / "a/b-c") == "b"
    assert (tmp_path / "a/old").read_bytes() == b"new"


@pytest.mark.parametrize("wrong", ["directory for a file", "file for a directory"])
def test_install_changes_nothing_where_one_thing_cannot_be(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "a").mkdir(mode=0o700)
    (tmp_path / "x").write_text("old")
    entry = tree.file_of("a", b"") if wrong.startswith("dir") else tree.directory("x")
    with pytest.raises(OcclumError, match=r"a/?: is a directory|x: is a file"):
        install([tree.file_of("b", b"new"), entry], tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["a", "x"]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["a", "a/b"])
@pytest.mark.parametrize("leads", ["out", "within", "nowhere"])
def test_install_writes_through_no_link(tmp_path: Path, path: str, leads: str) -> None:
    for name in ("outside/b", "root/within/b"):
        (tmp_path / name).mkdir(parents=True)
    within = tmp_path / "root/within"
    target = {"out": tmp_path / "outside", "within": within, "nowhere": Path("no")}
    link = tmp_path / "root" / path
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target[leads])
    before = snapshot(tmp_path)
    with pytest.raises(OcclumError, match=f"root/{path}: is a symlink, where a directory belongs"):
        install(
            [*tree.merged([tree.file_of("a/b/f", b"new"), tree.file_of("z", b"")])],
            tmp_path / "root",
        )
    with pytest.raises(OcclumError, match=f"root/{path}: is a symlink, where a directory belongs"):
        install([tree.file_of("a/b/f", b"new")], tmp_path / "root")
    assert snapshot(tmp_path) == before
