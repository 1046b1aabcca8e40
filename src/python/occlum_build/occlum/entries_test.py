from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum import entries as tree
from occlum_build.sources.model import DIR


def test_scan_gives_what_was_written(tmp_path: Path) -> None:
    planned = tree.merged(
        [tree.file_of("a/b/c", b"c", 0o640), tree.link("l", "a/b"), tree.file_of("x", b"old")],
        [tree.file_of("x", b"new"), tree.TreeEntry("d", DIR, 0o750)],
    )
    assert [entry.path for entry in planned] == ["a", "a/b", "a/b/c", "d", "l", "x"]
    tree.write(planned, tmp_path / "root")
    scanned = tree.scan(tmp_path / "root")
    assert [(e.path, e.kind, e.mode, e.target) for e in scanned] == [
        (e.path, e.kind, e.mode, e.target) for e in planned
    ]
    assert (tmp_path / "root/x").read_bytes() == b"new"
    assert tree.with_modes(scanned, {"x": 0o600})[-1].mode == 0o600


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("safe")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/x").symlink_to(tmp_path / "victim")
    tree.write([tree.file_of("x", b"new")], tmp_path / "root")
    assert (tmp_path / "victim").read_text() == "safe" and not (tmp_path / "root/x").is_symlink()


def test_errors_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match="missing: No such file"):
        tree.copy_of("x", tmp_path / "missing")
    with pytest.raises(OcclumError, match="missing: No such file"):
        tree.scan(tmp_path / "missing")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OcclumError, match="fifo: is neither a file"):
        tree.scan(tmp_path)


def test_what_is_copied_is_a_regular_file_of_a_bounded_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero"), tmp_path):
        with pytest.raises(OcclumError, match=f"{path}: is not a regular file"):
            tree.time_zone("etc/localtime", path)
    with open(tmp_path / "large", "wb") as file:
        file.truncate(6 << 30)
    with pytest.raises(OcclumError, match="large cannot be read: it has more than the 1 MiB"):
        tree.time_zone("etc/localtime", tmp_path / "large")
    with pytest.raises(OcclumError, match="large cannot be read: it has more than the 256 MiB"):
        tree.copy_of("bin/init", tmp_path / "large")


def test_what_no_manifest_can_have_is_named(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.symlink(b"\xff", bytes(tmp_path / "d/l"))
    with pytest.raises(OcclumError, match="d/l: the target of the link is not UTF-8"):
        tree.scan(tmp_path)
    (tmp_path / "d/l").unlink()
    os.mkdir(bytes(tmp_path / "d") + b"/\xff")
    with pytest.raises(OcclumError, match=r"d/\\xff: the name is not UTF-8"):
        tree.scan(tmp_path)


def test_a_file_that_became_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    entry = tree.copy_of("f", tmp_path / "f")
    (tmp_path / "f").unlink()
    os.mkfifo(tmp_path / "f")
    with pytest.raises(OcclumError, match="f: is not a regular file any more"):
        tree.write([entry], tmp_path / "out")


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_no_link_of_a_directory_is_written_through(tmp_path: Path, kind: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/f").write_text("safe")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/d").symlink_to("../outside")
    entry = {
        "file": tree.file_of("d/f", b"new"),
        "directory": tree.directory("d/new"),
        "link": tree.link("d/f", "x"),
    }[kind]
    with pytest.raises(OcclumError, match="root/d: Not a directory"):
        tree.write([entry], tmp_path / "root")
    assert os.listdir(tmp_path / "outside") == ["f"]
    assert (tmp_path / "outside/f").read_text() == "safe"
    (tmp_path / "link").symlink_to("outside")
    with pytest.raises(OcclumError, match="link: Not a directory"):
        tree.write([tree.file_of("f", b"new")], tmp_path / "link")


def test_errors_of_writing_name_the_whole_path(tmp_path: Path) -> None:
    name = "x" * 256
    for entry in (tree.file_of(f"d/{name}", b""), tree.directory(f"d/{name}")):
        with pytest.raises(OcclumError, match=f"{tmp_path}/d/x.*: File name too long"):
            tree.write([tree.directory("d"), entry], tmp_path)
    (tmp_path / "d/is").mkdir()
    with pytest.raises(OcclumError, match=f"{tmp_path}/d/is: Is a directory"):
        tree.write([tree.directory("d"), tree.file_of("d/is", b"")], tmp_path)
