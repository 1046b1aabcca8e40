"""`sbom` of images: of a root of packages, of the project, and without the libraries."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pants.core.goals.generate_lockfiles import GenerateLockfilesGoal

from occlum_build.packages.testing_debs import Item, deb_of, link
from occlum_build.sbom.testing import COPYRIGHT, METADATA
from pants_occlum.image import sbom
from pants_occlum.testing import Project
from pants_occlum.testing_lock import LockProject

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")
pytest.importorskip("spdx_tools", reason="spdx-tools is not installed")

BUILD = """
    files(name="debs", sources=["*.deb"])
    files(name="files", sources=["my-1.dist-info/*"])
    occlum_packages(name="root", debs=[":debs"], packages=["tool"], lockfile="./root.lock")
    occlum_bom(name="bom", source="bom.yaml")
    occlum_image(name="image", boms=[":bom"], sysroot=":root", sbom=["slsa", "spdx", "cyclonedx"])
    """
BOM = "targets: [{target: /, copy: [{files: [/bin/tool]}, {dirs: [../my-1.dist-info]}]}]"
FILES = ["image.cdx.json", "image.slsa.json", "image.spdx.json"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    tool = Item("./bin/tool", b"#!/bin/sh\n", 0o755), link("./usr/share/doc/tool", "data")
    fields = {"Depends": "data", "Source": "tools (2)"}
    copyright = Item("./usr/share/doc/data/copyright", COPYRIGHT)
    made.write(
        {
            "app/BUILD": BUILD,
            "app/bom.yaml": BOM,
            "app/my-1.dist-info/METADATA": METADATA.decode(),
            "app/tool.deb": deb_of("tool", "1.0", tool, fields=fields),
            "app/data.deb": deb_of("data", "1.0", [copyright]),
        }
    )
    options = ("--generate-lockfiles-resolve=app:root",)
    assert made.run(GenerateLockfilesGoal, options=options).exit_code == 0
    return made


def documents(folder: Path) -> list[Any]:
    return [json.loads((folder / name).read_text()) for name in FILES]


def test_an_image_of_packages(project: Project) -> None:
    folder = project.package("app:image")
    cyclonedx, slsa, spdx = documents(folder)
    digest = (folder / "image.digest").read_text().strip()

    image = cyclonedx["metadata"]["component"]
    assert (image["name"], image["version"]) == ("app:image", digest)
    python, tool = sorted(cyclonedx["components"], key=lambda one: str(one["name"]))
    assert (python["purl"], python["name"]) == ("pkg:pypi/my-dist@1.0", "my-dist")
    sha256 = hashlib.sha256((project.root / "app/tool.deb").read_bytes()).hexdigest()
    purl = "pkg:deb/debian/tool@1.0?arch=amd64&upstream=tools%402"
    assert (tool["purl"], tool["hashes"]) == (purl, [{"alg": "SHA-256", "content": sha256}])
    assert tool["supplier"] == {"name": "nobody <nobody@example.com>"}
    assert "GPL-2.0-or-later" in tool["licenses"][0]["expression"]
    assert [one["name"] for one in tool["components"]] == ["/tool"]

    names = {one["name"] for one in spdx["packages"]}
    assert names >= {"app:image", "tool", "my-dist", "/tool", "/my-1.dist-info/METADATA"}

    assert slsa["subject"] == [{"name": "app:image", "digest": {"sha256": digest[7:]}}]
    definition = slsa["predicate"]["buildDefinition"]
    assert definition["externalParameters"]["boms"] == ["app/bom.yaml"]
    package, file = definition["resolvedDependencies"]
    assert package == {
        "name": "tool",
        "uri": purl,
        "digest": {"sha256": sha256},
    }
    assert file["name"] == "app/my-1.dist-info/METADATA"


def test_a_format_whose_library_is_not_there(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = sbom._Format("occlum_build.sbom.spdx", "image.spdx.json", ("no-such-library",))
    monkeypatch.setitem(sbom._FORMATS, "spdx", lacking)
    error = project.failure("app:image")
    assert "The 'sbom' field in target app:image has 'spdx', which needs" in error
    assert "no-such-library" in error and "`plugins`" in error


def test_a_host(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.host("usr/bin/tool", b"tool", 0o755)
    project.write(
        {
            "app/BUILD": """
                occlum_bom(name="bom", source="bom.yaml")
                occlum_image(name="image", boms=[":bom"], sbom=["cyclonedx"])
                """,
            "app/bom.yaml": "targets: [{target: /, copy: [{files: [/usr/bin/tool]}]}]",
        }
    )
    folder = project.package("app:image")
    (file,) = json.loads((folder / "image.cdx.json").read_text())["components"]
    assert (file["type"], file["name"]) == ("file", "/tool")
    assert not (folder / "image.spdx.json").exists()


def test_packages_of_a_host(tmp_path: Path) -> None:
    project = LockProject(tmp_path)
    build = project.build.replace('"tar"]', '"tar"], sbom=["cyclonedx"]')
    project.write({"app/BUILD": build})
    project.copy("files: [/usr/bin/tool]")
    project.install("1.5", b"tool")
    project.host("usr/share/doc/tool/copyright", COPYRIGHT)

    folder = project.package("app:image")
    (package,) = json.loads((folder / "image.cdx.json").read_text())["components"]
    assert package["purl"] == "pkg:deb/debian/tool@1.5?arch=amd64"
    assert "GPL-2.0-or-later" in package["licenses"][0]["expression"]

    # What is required is pinned with its package, whatever dpkg says now.
    project.pin()
    project.dpkg("1.6", "/usr/bin/tool")
    folder = project.package("app:image", options=("--occlum-lock=require",))
    (package,) = json.loads((folder / "image.cdx.json").read_text())["components"]
    assert package["purl"] == "pkg:deb/debian/tool@1.5"
    assert "licenses" not in package
