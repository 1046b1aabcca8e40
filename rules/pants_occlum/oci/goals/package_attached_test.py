"""What is attached to an OCI image: the bills of its image, unless it is to go without."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pants_occlum.oci.attached import goes_with
from pants_occlum.testing import Project

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")

BUILD = """
    occlum_bom(name="bom", source="bom.yaml")
    occlum_image(name="bare", boms=[":bom"])
    occlum_image(name="image", boms=[":bom"], sbom=["slsa", "cyclonedx"])
    oci_image(name="oci", image=":image", entry_point=["/volume/app"])
    oci_image(name="plain", image=":image", entry_point=["/volume/app"], attach_sbom=False)
    oci_image(name="none", image=":bare", entry_point=["/volume/app"], attach_sbom=True)
    """


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.host("usr/share/data", b"data")
    made.write(
        {
            "app/BUILD": BUILD,
            "app/bom.yaml": "targets: [{target: /, copy: [{files: [/usr/share/data]}]}]",
        }
    )
    return made


def blob(layout: Path, digest: str) -> bytes:
    content = (layout / "blobs" / digest.replace(":", "/")).read_bytes()
    assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    return content


def manifests(layout: Path) -> Any:
    return json.loads((layout / "index.json").read_bytes())["manifests"]


def test_bills_refer_to_the_image(project: Project) -> None:
    folder, image = project.package("app:oci"), project.package("app:image")
    named, *referrers = manifests(folder / "layout")
    assert (folder / "oci.digest").read_text() == f"{named['digest']}\n"
    found = {}
    for one in referrers:
        manifest = json.loads(blob(folder / "layout", one["digest"]))
        assert manifest["artifactType"] == one["artifactType"]
        assert manifest["subject"]["digest"] == named["digest"]
        (layer,) = manifest["layers"]
        found[one["artifactType"]] = blob(folder / "layout", layer["digest"])
        assert blob(folder / "layout", manifest["config"]["digest"]) == b"{}"
    assert found == {
        "application/vnd.cyclonedx+json": (image / "image.cdx.json").read_bytes(),
        "application/vnd.in-toto+json": (image / "image.slsa.json").read_bytes(),
    }
    assert referrers[1]["annotations"] == {
        "in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"
    }

    plain = project.package("app:plain")
    assert (plain / "oci.digest").read_bytes() == (folder / "oci.digest").read_bytes()
    assert manifests(plain / "layout") == [named]


def test_an_encrypted_image_is_described_on_request_alone() -> None:
    assert [goes_with(wanted, is_shared=True) for wanted in (None, True, False)] == [1, 1, 0]
    assert [goes_with(wanted, is_shared=False) for wanted in (None, True, False)] == [0, 1, 0]


def test_there_is_nothing_to_attach(project: Project) -> None:
    error = project.failure("app:none")
    assert (
        "The field 'attach_sbom' of app:none is True, but its image app:bare has nothing" in error
    )
    assert 'set `sbom` there, as in `sbom=["cyclonedx"]`.' in error
