"""The target type `occlum_files`, from its fields to the image."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest

from pants_occlum.testing import Project, entries


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.host("loader.config")
    return project


def write(project: Project, fields: str, more: str = "") -> None:
    fields = f'name="bom", loader_config="/loader.config", {fields}'
    image = 'occlum_image(name="image", boms=[":bom"])'
    project.write({"a/b/BUILD": f"occlum_files({fields})\n{image}\n{more}\n"})


def image_of(project: Project) -> dict[str, str]:
    """Path -> type of the entries, but those that each image has."""
    found = entries(project.package("a/b:image"))
    return {path: entry["type"] for path, entry in found.items() if path not in ("/", "/opt")}


def test_files_dirs_links_and_directories(project: Project) -> None:
    project.host("etc/hosts")
    project.host("usr/share/x/y")
    project.write({name: "" for name in ("a/b/one.sh", "a/b/$two.sh", "a/b/c/d", "a/b/c/d.bak")})
    write(
        project,
        """
        target="/opt/app",
        files=["*.sh", "/etc/hosts"],
        dirs=["c", "/usr/share/x/"],
        symlinks={"run": "one.sh", "sub/cost": "$two.sh"},
        mkdirs=["tmp:1777", "a:b", "e"],
        excludes=["*.bak"],
        """,
        "files(name='files', sources=['*.sh', 'c/*'])",
    )
    assert image_of(project) == {
        "/opt/app": "dir",
        "/opt/app/$two.sh": "file",
        "/opt/app/a:b": "dir",
        "/opt/app/c": "dir",
        "/opt/app/c/d": "file",
        "/opt/app/e": "dir",
        "/opt/app/hosts": "file",
        "/opt/app/one.sh": "file",
        "/opt/app/run": "symlink",
        "/opt/app/sub": "dir",
        "/opt/app/sub/cost": "symlink",
        "/opt/app/tmp": "dir",
        "/opt/app/y": "file",
    }
    image = project.root / "dist/a.b/image/image"
    assert os.readlink(image / "opt/app/sub/cost") == "$two.sh"
    assert stat.S_IMODE((image / "opt/app/tmp").stat().st_mode) == 0o1777


def test_what_is_no_mode_of_a_directory(project: Project) -> None:
    write(project, 'mkdirs=["tmp:1888"]')
    error = project.failure("a/b:image")
    assert "has 'tmp:1888', but 1888 is no mode: write three or four octal digits" in error


ARCHIVE = """
files(name="files", sources=["x"])
archive(name="tar", format="tar", files=[":files"])
archive(name="zip", format="tar", files=[":files"], output_path="other/out.tar")
"""


def test_packages_are_built_and_copied(project: Project) -> None:
    project.write({"a/b/x": "content"})
    write(project, 'target="/opt/app", packages=[":tar"], dependencies=[":zip"]', ARCHIVE)
    assert image_of(project) == {"/opt/app": "dir", "/opt/app/tar.tar": "file"}
    with tarfile.open(project.root / "dist/a.b/image/image/opt/app/tar.tar") as archive:
        assert archive.getnames() == ["a/b/x"]
    assert not (project.root / "dist/a.b/tar.tar").exists()


def test_artefact_that_a_bom_names(project: Project) -> None:
    project.write(
        {
            "a/b/x": "content",
            "a/b/bom.yaml": "targets: [{target: /opt, copy: [{from: ../../../dist, "
            "files: [a.b/tar.tar, {name: other/out.tar, rename: z}]}]}]",
            "a/b/BUILD": f"""
{ARCHIVE}
occlum_bom(
    name="bom",
    source="bom.yaml",
    dependencies=[":tar", ":zip"],
    loader_config="/loader.config",
)
occlum_image(name="image", boms=[":bom"])
""",
        }
    )
    assert image_of(project) == {"/opt/tar.tar": "file", "/opt/z": "file"}


MADE = """
files(name="plain", sources=["x", "y"])
relocated_files(name="moved", files_targets=[":plain"], src="a/b", dest="m")
"""


def test_files_that_pants_makes_are_artefacts(project: Project) -> None:
    project.write({"a/b/x": "content", "a/b/y": ""})
    write(project, 'target="/opt", packages=[":moved"]', MADE)
    assert image_of(project) == {
        "/opt/m": "dir",
        "/opt/m/x": "file",
        "/opt/m/y": "file",
    }


def test_files_that_pants_makes_are_files_of_the_project(project: Project) -> None:
    project.write({"a/b/x": "content", "a/b/y": ""})
    write(project, 'target="/opt", files=["../../m/x"], dependencies=[":moved"]', MADE)
    assert image_of(project) == {"/opt/x": "file"}


def test_package_that_makes_no_artefact(project: Project) -> None:
    project.write({"a/b/x": "content"})
    write(project, 'packages=[":files"]', ARCHIVE)
    assert (
        "The `packages` of a/b:bom names a/b/x:files, but `package` writes no artefact of it."
    ) in project.failure("a/b:image")


def test_problem_names_the_target(project: Project) -> None:
    write(project, 'files=["gone"], mkdirs=["../up"]')
    _, *problems = project.failure("a/b:image").split("\n\n")
    assert problems == [
        "a/b:bom: '../up' leaves the image\n  hint: remove the `..`",
        "a/b:bom: there is no file a/b/gone\n  hint: relative names start at a/b here",
    ]
