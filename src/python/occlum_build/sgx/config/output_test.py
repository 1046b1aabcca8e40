from __future__ import annotations

import os
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx.config.output import write_all


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_new_and_existing_files(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"old")
    old_umask = os.umask(0o027)
    try:
        write_all({tmp_path / "a": b"A", tmp_path / "b": b"B"})
    finally:
        os.umask(old_umask)
    assert content(tmp_path) == {"a": b"A", "b": b"B"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_missing_directory_leaves_the_other_file_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(OcclumError) as caught:
        write_all({tmp_path / "a": b"A", tmp_path / "none" / "b": b"B"})
    assert str(caught.value) == f"{tmp_path}/none/b: No such file or directory"
    assert content(tmp_path) == {"a": b"old"}


def test_a_target_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(OcclumError) as caught:
        write_all({tmp_path / "a": b"A", tmp_path / "b": b"B"})
    assert caught.value.code == "output-write"
    assert content(tmp_path) == {}


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_rename_that_fails_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bytes | None
) -> None:
    if old is not None:
        (tmp_path / "a").write_bytes(old)
    replace = os.replace

    def fails_for_b(source: Path, target: Path) -> None:
        if target.name == "b":
            raise PermissionError(13, "Permission denied")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fails_for_b)
    with pytest.raises(OcclumError):
        write_all({tmp_path / "a": b"A", tmp_path / "b": b"B"})
    assert content(tmp_path) == ({} if old is None else {"a": old})
