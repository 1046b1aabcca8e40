from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from occlum_build.oci.layer import GZIP_HEADER, compress, entries_json, main

ENTRIES = entries_json(
    [
        ("a", "dir", 0o755, ""),
        ("a/file", "file", 0o4755, ""),
        ("a/link", "symlink", 0o777, "file"),
    ]
)
CONTENT = b"content " * 1000


def _layer(folder: Path) -> tuple[bytes, dict[str, object]]:
    root = folder / "root"
    (root / "a").mkdir(parents=True)
    (root / "a/file").write_bytes(CONTENT)
    (folder / "entries.json").write_bytes(ENTRIES)
    out = folder / "layer.tar.gz"
    assert main([str(root), str(folder / "entries.json"), str(out)]) == 0
    made = {path.name for path in folder.iterdir()}
    assert made == {"root", "entries.json", "layer.tar.gz", "layer.tar.gz.json"}
    return out.read_bytes(), json.loads(Path(f"{out}.json").read_bytes())


def test_a_layer(tmp_path: Path) -> None:
    layer, info = _layer(tmp_path)
    archive = gzip.decompress(layer)

    assert info == {
        "digest": f"sha256:{hashlib.sha256(layer).hexdigest()}",
        "diff_id": f"sha256:{hashlib.sha256(archive).hexdigest()}",
        "size": len(layer),
    }
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        found = {one.name: (one.mode, one.linkname, one.mtime, one.uid) for one in members}
        file = members.extractfile("a/file")
        assert file is not None
        assert file.read() == CONTENT
    assert found == {
        "a": (0o755, "", 0, 0),
        "a/file": (0o4755, "", 0, 0),
        "a/link": (0o777, "file", 0, 0),
    }


def test_the_same_bytes_again(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert _layer(one) == _layer(other)


def test_in_pieces() -> None:
    data = bytes(range(256)) * 20_000  # more than one piece
    sink = io.BytesIO()
    info = compress(io.BytesIO(data), sink)
    assert gzip.decompress(sink.getvalue()) == data
    assert sink.getvalue().startswith(GZIP_HEADER)
    assert info.size == len(sink.getvalue())


def test_wrong_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["root"]) == 2
    assert capsys.readouterr().err.startswith("usage: ")
