from __future__ import annotations

from pathlib import Path

import pytest

from pants_occlum.testing import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.host("loader.config")
    project.host("data/d/.wh.passwd")
    project.host("data/d/other", Path("/bin/true").read_bytes(), 0o755)
    return project


def _write(project: Project, bom: str) -> None:
    project.write(
        {
            "app/bom.yaml": bom,
            "app/BUILD": """
            occlum_bom(name="bom", source="bom.yaml", loader_config="/loader.config")
            occlum_image(name="image", boms=[":bom"])
            oci_image(name="oci", image=":image", entry_point=["/volume/app"])
            """,
        }
    )


def test_whiteouts_are_no_files_of_a_layer(project: Project) -> None:
    _write(project, "targets: [{target: /, copy: [{dirs: [/data/d]}]}]")
    assert (project.package("app:image") / "image/d/.wh.passwd").is_file()
    error = project.failure("app:oci")
    assert "app/bom.yaml:1:38: /d/.wh.passwd: in a layer a name that begins with .wh." in error
    assert "hint: leave it out with `excludes`" in error


def test_whiteouts_that_are_left_out(project: Project) -> None:
    _write(project, 'excludes: [".wh.*"]\ntargets: [{target: /, copy: [{dirs: [/data/d]}]}]')
    assert (project.package("app:oci") / "oci.digest").is_file()
