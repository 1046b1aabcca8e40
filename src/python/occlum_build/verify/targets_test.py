"""Archives, OCI layouts and bundles: the same instance in each, and what they add to it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.package import package
from occlum_build.verify.rows import AGREES
from occlum_build.verify.testing import (
    differing,
    mrenclave_of,
    oci_layout,
    row,
    rune_bundle,
    verified,
)


def test_an_archive(built: Path, tmp_path: Path) -> None:
    archive = tmp_path / "app.tar.gz"
    package(built, archive, "app")
    found = verified(archive, measurement=built / "measurement.json")
    assert differing(found) == []
    assert (found.kind, found.mrenclave) == ("archive", mrenclave_of(built))
    assert row(found, "manifest.json", "entries").status == AGREES
    assert len(found.rows) > 50
    assert verified(archive).agrees


def test_a_damaged_archive(built: Path, tmp_path: Path) -> None:
    archive = tmp_path / "app.tar.gz"
    package(built, archive, "app")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(OcclumError, match="no usable tar archive"):
        verified(archive)


def test_an_oci_image(built: Path, tmp_path: Path) -> None:
    layout = oci_layout(built, tmp_path / "layout", mrenclave_of(built))
    found = verified(layout, mrenclave=mrenclave_of(built))
    assert differing(found) == []
    assert (found.kind, found.mrenclave) == ("oci", mrenclave_of(built))
    label = row(found, "configuration", "label io.occlum.mrenclave")
    assert label.status == AGREES
    archive = tmp_path / "image.oci.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layout, ".")
    assert verified(archive).agrees


def test_an_oci_image_whose_label_lies(built: Path, tmp_path: Path) -> None:
    found = verified(oci_layout(built, tmp_path / "layout", "1" * 64))
    assert [one.what for one in differing(found)] == ["label io.occlum.mrenclave"]


def test_blobs_that_are_others(built: Path, tmp_path: Path) -> None:
    layout = oci_layout(built, tmp_path / "layout", mrenclave_of(built))
    blobs = sorted((layout / "blobs/sha256").iterdir())
    assert len(blobs) == 4
    for blob in blobs:
        content = blob.read_bytes()
        blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found = verified(layout)
        assert [one.about for one in differing(found)] == [f"blobs/sha256/{blob.name}"]
        assert found.mrenclave == ""  # what is in another blob is not looked into
        blob.unlink()
        assert blob.name in differing(verified(layout))[0].about
        blob.write_bytes(content)
    assert verified(layout).agrees


def test_a_bundle(built: Path, tmp_path: Path) -> None:
    found = verified(rune_bundle(built, tmp_path / "bundle"))
    assert differing(found) == []
    assert found.kind == "bundle"
    assert row(found, "config.json", "program").status == AGREES
    gone = verified(rune_bundle(built, tmp_path / "other", "/bin/gone"))
    assert [one.about for one in differing(gone)] == ["config.json"]
