from __future__ import annotations

from pathlib import Path

import pytest
from pants.core.goals.tailor import TailorGoal

from pants_occlum.bom.goals.tailor import is_bom
from pants_occlum.testing import Project

BOM = "targets: [{target: /}]\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def build_file(project: Project, directory: str) -> str:
    path = project.root / directory / "BUILD"
    return path.read_text() if path.exists() else ""


def test_one_target_for_each_bom_of_a_directory(project: Project) -> None:
    project.write(
        {
            "a/bom.yaml": BOM,
            "a/my app.yml": "includes: [bom.yaml]\n",
            "a/values.yaml": "replicas: 3\n",
            "a/targets.yaml": "targets: [{job: prometheus}]\n",
            "a/broken.yaml": "targets: [\n",
            "a/large.yaml": BOM + "#" * (4 << 20),
            "b/bom/bom.yaml": BOM,
        }
    )
    project.run(TailorGoal, "::")
    assert build_file(project, "a") == (
        'occlum_bom(\n    name="bom",\n    source="bom.yaml",\n)\n\n'
        'occlum_image(\n    name="image",\n    boms=[\n        ":my_app",\n    ],\n)\n\n'
        'occlum_bom(\n    name="my_app",\n    source="my app.yml",\n)\n'
    )
    assert build_file(project, "b/bom") == (
        'occlum_bom(\n    source="bom.yaml",\n)\n\n'
        'occlum_image(\n    name="image",\n    boms=[\n        ":bom",\n    ],\n)\n'
    )
    assert project.run(TailorGoal, "::").stdout == ""


def test_owned_boms_are_left_alone(project: Project) -> None:
    build = "occlum_bom(name='other', source='bom.yaml')\nfiles(name='f', sources=['*.yml'])\n"
    project.write({"a/bom.yaml": BOM, "a/vector.yml": BOM, "a/BUILD": build})
    assert project.run(TailorGoal, "::").stdout == ""
    assert build_file(project, "a") == build


def test_names_that_are_taken(project: Project) -> None:
    project.write({"a/x.yaml": BOM, "a/x.yml": BOM, "a/BUILD": "target(name='x')\n"})
    project.run(TailorGoal, "::")
    text = build_file(project, "a")
    assert 'name="x0",\n    source="x.yaml"' in text
    assert 'name="x1",\n    source="x.yml"' in text


def test_switched_off(project: Project) -> None:
    project.write({"a/bom.yaml": BOM})
    project.run(TailorGoal, "::", options=("--no-occlum-tailor",))
    assert build_file(project, "a") == ""


@pytest.mark.parametrize(
    "text", ["", "targets:", "includes: []", "targets", "[targets]", "a: targets"]
)
def test_no_bom(text: str) -> None:
    assert not is_bom(text.encode())


@pytest.mark.parametrize("text", [BOM, "includes: [x]", '"targets": [{"target": "/"}]'])
def test_bom(text: str) -> None:
    assert is_bom(text.encode())
