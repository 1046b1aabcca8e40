from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from occlum_build.oci.layer import GZIP_HEADER, MEDIA_TYPES, compress, entries_json

ENTRIES = entries_json(
    [
        ("a", "dir", 0o755, ""),
        ("a/file", "file", 0o4755, ""),
        ("a/link", "symlink", 0o777, "file"),
    ]
)
CONTENT = b"content " * 1000


def _decompress(compression: str, data: bytes) -> bytes:
    if compression == "gzip":
        return gzip.decompress(data)
    with zstandard.ZstdDecompressor().stream_reader(data) as reader:
        return reader.read()


def _layer(folder: Path, compression: str) -> tuple[bytes, dict[str, object]]:
    root = folder / "root"
    (root / "a").mkdir(parents=True)
    (root / "a/file").write_bytes(CONTENT)
    (folder / "entries.json").write_bytes(ENTRIES)
    out = folder / "layer"
    command = [sys.executable, "-m", "occlum_build.oci.layer"]
    command += [compression, "root", "entries.json", "layer"]
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(command, cwd=folder, env=env, check=True)
    made = {path.name for path in folder.iterdir()}
    assert made == {"root", "entries.json", "layer", "layer.json"}
    return out.read_bytes(), json.loads(Path(f"{out}.json").read_bytes())


@pytest.mark.parametrize("compression", MEDIA_TYPES)
def test_a_layer(tmp_path: Path, compression: str) -> None:
    layer, info = _layer(tmp_path, compression)
    archive = _decompress(compression, layer)

    assert info == {
        "media_type": f"application/vnd.oci.image.layer.v1.tar+{compression}",
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


@pytest.mark.parametrize("compression", MEDIA_TYPES)
def test_the_same_bytes_again(tmp_path: Path, compression: str) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    assert _layer(one, compression) == _layer(other, compression)


@pytest.mark.parametrize(
    ("compression", "start"), [("gzip", GZIP_HEADER), ("zstd", b"\x28\xb5\x2f\xfd")]
)
def test_in_pieces(compression: str, start: bytes) -> None:
    data = bytes(range(256)) * 20_000  # more than one piece
    sink = io.BytesIO()
    info = compress(io.BytesIO(data), sink, compression)
    assert _decompress(compression, sink.getvalue()) == data
    assert sink.getvalue().startswith(start)
    assert info.size == len(sink.getvalue())
