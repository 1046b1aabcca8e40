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
