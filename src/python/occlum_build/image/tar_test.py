from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.image.tar import write_tar


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_nothing_but_regular_files_of_the_tree_is_archived(tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "tree").mkdir()
    path = tmp_path / "tree/f"
    if kind == "link":
        path.symlink_to(tmp_path / "secret")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    rows = [{"path": "f", "type": "file", "mode": 0o644, "target": ""}]
    with pytest.raises(OcclumError, match=r"tree/f: .*(link|regular file)"):
        write_tar(str(tmp_path / "tree"), rows, str(tmp_path / "out"))


def test_a_file_that_is_written_to_while_it_is_archived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_text("before")
    monkeypatch.setattr(tarfile.TarFile, "addfile", lambda *_: path.write_text("afterwards"))
    rows = [{"path": "f", "type": "file", "mode": 0o644, "target": ""}]
    with pytest.raises(OcclumError, match="changed while it was read"):
        write_tar(str(tmp_path), rows, str(tmp_path / "out"))
