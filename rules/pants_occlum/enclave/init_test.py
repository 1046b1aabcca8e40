"""`init` of an enclave: a file of the project, or what a target makes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pants_occlum.testing import Project

BUILD = """
    occlum_files(name="files", mkdirs=["bin", "dev", "etc", "host", "proc"])
    occlum_image(name="image", boms=[":files"])
    file(name="stand_in", source="stand_in.tar.xz")
    occlum_toolchain(name="toolchain", archive=":stand_in")
    file(name="init", source="init")
    relocated_files(name="made", files_targets=[":init"], src="", dest="out")
    archive(name="packed", format="zip", files=[":init"], output_path="packed.zip")
    files(name="two", sources=["init", "other"])
    occlum_enclave(name="enclave", image=":image", toolchain=":toolchain", init="{init}")
    """


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("project"))
    (project.root / "app").mkdir()
    shutil.copy("testprojects/toolchain/stand_in.tar.xz", project.root / "app")
    project.write({"app/init": "#!/bin/a\n", "app/other": "#!/bin/b\n", "app/odd*[]": "odd\n"})
    return project


def write(project: Project, init: str) -> None:
    project.write({"app/BUILD": BUILD.replace("{init}", init)})


def init_of(dist: Path) -> bytes:
    measured = json.loads((dist / "measurement.json").read_text())
    assert measured["inputs"]["initfs"]["/bin/init"].startswith("file 0755 ")
    return (dist / "occlum_instance/initfs/bin/init").read_bytes()


@pytest.mark.parametrize("init", ["init", "./init", ":init", "//app:init", "app:init", ":made"])
def test_a_program(project: Project, init: str) -> None:
    write(project, init)
    assert init_of(project.package("app:enclave")) == b"#!/bin/a\n"


def test_a_name_that_is_a_pattern(project: Project) -> None:
    write(project, "odd*[]")
    assert init_of(project.package("app:enclave")) == b"odd\n"


def test_a_package(project: Project) -> None:
    write(project, ":packed")
    assert init_of(project.package("app:enclave")).startswith(b"PK")


def test_an_image_that_has_an_enclave_in_it(project: Project) -> None:
    """What is built for it is looked through for cycles: a path is no address there."""
    write(project, "init")
    project.write(
        {
            "outer/BUILD": """
                occlum_files(name="files", target="/", packages=["app:enclave"])
                occlum_image(name="image", boms=[":files"])
                """
        }
    )
    image = project.package("outer:image") / "image"
    assert (image / "occlum_instance.tar.gz").is_file()


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("none", "names app/none, and there is no such file. The address of a target that makes"),
        (":none", "app:none"),
        (":two", "one file, but app/init:two, app/other:two makes 2: app/init and app/other."),
        (":toolchain", "one file, but app:toolchain makes 0: none."),
        (":enclave", "The 'init' field in target app:enclave names the enclave itself."),
        ("../init", "must be a file below its BUILD file's directory, or the address of a target"),
        ("/init", "must be a file below its BUILD file's directory, or the address of a target"),
    ],
)
def test_mistakes(project: Project, init: str, message: str) -> None:
    write(project, init)
    assert message in project.failure("app:enclave")
