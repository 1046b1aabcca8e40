from __future__ import annotations

import os
from pathlib import Path

from occlum_build.image.entries import FILE
from occlum_build.run.own_tree import own_tree


def test_files_become_their_own_and_none_is_lost(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "stored").write_text("x")
    os.link(tmp_path / "stored", root / "a")
    (root / "a.occlum-copy").write_text("y")
    own_tree(str(root), [{"path": name, "type": FILE, "mode": 0o640} for name in os.listdir(root)])
    (root / "a").write_text("z")
    assert (root / "a.occlum-copy").read_text() == "y"
    assert (tmp_path / "stored").read_text() == "x"
    assert sorted(os.listdir(root)) == ["a", "a.occlum-copy"]
    assert sorted(os.listdir(tmp_path)) == ["root", "stored"]
