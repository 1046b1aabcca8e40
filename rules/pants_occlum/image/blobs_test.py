from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from occlum_build.oci import parts
from occlum_build.oci.layer import GZIP_HEADER
from pants_occlum.testing import Project

MB = 1_000_000
COUNT = 12


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setattr(parts, "PART_BYTES", 4 * MB)
    project = Project(tmp_path)
    project.host("loader.config")
    for number in range(COUNT):
        project.host(f"data/d/{number:02}", os.urandom(MB), 0o755)
    project.write(
        {
            "app/bom.yaml": """
            targets: [{target: /, copy: [{dirs: [/data/d]}, {files: [../own.txt]}]}]
            """,
            "app/own.txt": "a file of the project\n",
            "app/BUILD": """
            files(name="own", sources=["own.txt"])
            occlum_bom(name="bom", source="bom.yaml", loader_config="/loader.config")
            occlum_image(name="image", boms=[":bom"])
            oci_image(name="oci", image=":image", entry_point=["/volume/app"], max_layers=1)
            oci_image(name="zstd", image=":image", entry_point=["/volume/app"], compression="zstd")
            """,
        }
    )
    return project


def _document(layout: Path, descriptor: Any) -> Any:
    return json.loads(_blob(layout, descriptor))


def _blob(layout: Path, descriptor: Any) -> bytes:
    content: bytes = (layout / "blobs/sha256" / descriptor["digest"][len("sha256:") :]).read_bytes()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == descriptor["digest"]
    assert len(content) == descriptor["size"]
    return content


def test_a_large_layer_is_made_in_parts(project: Project) -> None:
    layout = project.package("app:oci") / "layout"
    (image,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = _document(layout, image)
    (descriptor,) = manifest["layers"]
    layer = _blob(layout, descriptor)
    assert layer.count(GZIP_HEADER) >= 4
    archive = gzip.decompress(layer)
    (diff_id,) = _document(layout, manifest["config"])["rootfs"]["diff_ids"]
    assert f"sha256:{hashlib.sha256(archive).hexdigest()}" == diff_id
    assert len(archive) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        names = [one.name for one in members]
        assert names == ["d", *(f"d/{number:02}" for number in range(COUNT)), "own.txt"]
        file = members.extractfile("d/11")
        assert file is not None
        assert file.read() == (project.sysroot / "data/d/11").read_bytes()


def test_host_file_that_changes_unseen(project: Project) -> None:
    before = project.package("app:oci") / "layout/index.json"
    first = before.read_text()
    (project.sysroot / "data/d/05").write_bytes(b"another")
    assert (project.package("app:oci") / "layout/index.json").read_text() != first
