from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.protect import file_mac, protect_bytes, protect_file, show_file


def test_protect_is_the_reference_byte_for_byte(vectors: Path, tmp_path: Path) -> None:
    source = vectors / "pi" / ".Occlum_sys.json"
    shutil.copyfile(source, tmp_path / source.name)
    (tmp_path / ".Occlum_sys.json.protected").write_bytes(b"old")
    path, mac = protect_file(tmp_path / source.name)
    assert path.read_bytes() == (vectors / "pi" / path.name).read_bytes()
    assert format_mac(mac) + "\n" == (vectors / "pi" / "mac.txt").read_text()
    assert file_mac(path) == mac
    assert sorted(p.name for p in tmp_path.iterdir()) == [source.name, path.name]


def test_show(vectors: Path, tmp_path: Path) -> None:
    source = vectors / "pi" / ".Occlum_sys.json"
    shown = b"".join(
        bytes(piece) for piece in show_file(vectors / "pi" / f"{source.name}.protected")
    )
    assert shown == source.read_bytes()
    (tmp_path / "large").write_bytes(bytes(range(256)) * 4000)
    path, _ = protect_file(tmp_path / "large")
    assert b"".join(map(bytes, show_file(path))) == (tmp_path / "large").read_bytes()


def test_damaged_file_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(5000))
    path, _ = protect_file(tmp_path / "f")
    with open(path, "r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\1")
    shown = b""
    with pytest.raises(OcclumError, match=r"node 2 \(data node 0\)"):
        for piece in show_file(path):
            shown += bytes(piece)
    assert shown == bytes(3072)


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(OcclumError) as caught:
        protect_file(tmp_path / "none")
    assert caught.value.code == "sefs-io"
    (tmp_path / ("x" * 250)).write_bytes(b"")
    with pytest.raises(OcclumError) as caught:
        protect_file(tmp_path / ("x" * 250))
    assert caught.value.code == "pf-name"
    with pytest.raises(OcclumError) as caught:
        file_mac(tmp_path)
    assert caught.value.code in ("pf-length", "sefs-io")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 250]


def test_bytes_are_protected_as_a_file_of_that_name_is(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content" * 1000)
    target, mac = protect_file(tmp_path / "f")
    assert protect_bytes(b"content" * 1000, "f") == (target.read_bytes(), mac)
