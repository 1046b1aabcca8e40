from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlum_build.files.testing import files_of_at_most
from occlum_build.packages.index import Entry
from occlum_build.packages.tree import TreeWriter
from occlum_build.sources.model import DIR, SYMLINK


def test_a_full_disk_is_told_with_the_place(tmp_path: Path) -> None:
    with TreeWriter(str(tmp_path)) as tree, files_of_at_most(10):
        tree.file("/usr/small", 0o640, [b"01234", b"56789"])
        with pytest.raises(OSError, match="File too large") as raised:
            tree.file("/usr/large", 0o640, [b"01234", b"56789x"])
    assert raised.value.filename == f"{tmp_path}/usr/large"
    assert (tmp_path / "usr/small").read_bytes() == b"0123456789"


def test_errors_name_places(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with TreeWriter(str(tmp_path)) as tree:
        for entries in ({"/file": Entry(SYMLINK, target="x")}, {"/file/d": Entry(DIR, 0o755)}):
            with pytest.raises(OSError) as raised:
                tree.add_entries(entries)
            assert raised.value.filename == str(tmp_path) + next(iter(entries))
        with pytest.raises(FileExistsError) as raised:
            tree.file("/file", 0o644, [])
        assert raised.value.filename == f"{tmp_path}/file"
        with pytest.raises(FileExistsError) as raised:
            tree.hard_link("/file", "/file")
        assert raised.value.filename == f"{tmp_path}/file"


def test_what_is_written_may_fail_itself(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise OSError(errno.EIO, os.strerror(errno.EIO), "app.deb")

    with TreeWriter(str(tmp_path)) as tree, pytest.raises(OSError) as raised:
        tree.file("/x", 0o644, chunks())
    assert raised.value.filename == "app.deb"
