from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.image.manifest import image_digest
from occlum_build.sefs.manifest import read_manifest, tree_digest
from occlum_build.sefs.tree import scan_tree

FILE = {"path": "/f", "type": "file", "mode": "0644"}


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not a manifest"),
        ({"entries": []}, "the document has no 'schema'"),
        ({"schema": 2, "entries": []}, "its schema is 2, not 1"),
        ({"schema": 1}, "the document has no 'entries'"),
        ({"schema": 1, "entries": [1]}, "not a manifest"),
        ({"schema": 1, "entries": [{**FILE, "type": "fifo"}]}, "'/f' has the type 'fifo'"),
        ({"schema": 1, "entries": [{**FILE, "mode": "rw"}]}, "'/f' has the mode 'rw'"),
        ({"schema": 1, "entries": [{**FILE, "mode": 420}]}, "not a manifest: entries[0].mode is a"),
        ({"schema": 1, "entries": [{"path": "/f", "type": "file"}]}, "entries[0] has no 'mode'"),
    ],
)
def test_what_is_not_a_manifest(tmp_path: Path, document: object, message: str) -> None:
    path = write(tmp_path / "manifest.json", document)
    with pytest.raises(OcclumError) as caught:
        read_manifest(path)
    assert caught.value.code == "sefs-manifest"
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_not_json_and_missing(tmp_path: Path) -> None:
    for text in (b"\xff{", b"[" * 100_000, b'{"schema": 1, "entries": [], "x": "\\ud800"}'):
        (tmp_path / "m").write_bytes(text)
        with pytest.raises(OcclumError, match="not a manifest: ") as caught:
            read_manifest(tmp_path / "m")
        assert caught.value.code == "sefs-manifest"
    with pytest.raises(OcclumError) as caught:
        read_manifest(tmp_path / "none")
    assert caught.value.code == "sefs-io"


def test_digest_leaves_out_provenance_and_nothing_else(tmp_path: Path) -> None:
    def digest(entry: object) -> bytes:
        return read_manifest(write(tmp_path / "m", {"schema": 1, "entries": [entry]})).digest

    assert digest(FILE) == digest({**FILE, "provenance": {"bom": "a:1:1"}})
    assert digest(FILE) != digest({**FILE, "mode": "0600"})
    assert digest(FILE) != digest({**FILE, "sha256": "00"})


def test_digest_is_that_of_the_manifest(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "d").mkdir(parents=True)
    (tree / "d" / "f").write_bytes(b"f" * 20000)
    (tree / "g").write_bytes(b"g")
    (tree / "l").symlink_to("d/f")
    for path, mode in (("d", 0o755), ("d/f", 0o644), ("g", 0o600)):
        (tree / path).chmod(mode)

    def file(path: str, mode: str, content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        return {"path": path, "type": "file", "mode": mode, "size": len(content), "sha256": digest}

    manifest = {
        "schema": 1,
        "entries": [
            {"path": "/", "type": "dir", "mode": "0755"},
            {"path": "/d", "type": "dir", "mode": "0755", "provenance": {"bom": "b:1:1"}},
            file("/d/f", "0644", b"f" * 20000),
            file("/g", "0600", b"g"),
            {"path": "/l", "type": "symlink", "mode": "0777", "target": "d/f"},
        ],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    read = read_manifest(tmp_path / "manifest.json")
    assert read.modes == {"d": 0o755, "d/f": 0o644, "g": 0o600}
    assert read.digest.hex() == image_digest(manifest)
    assert tree_digest(scan_tree(tree)) == read.digest
