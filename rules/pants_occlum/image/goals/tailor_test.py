from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pants.core.goals.tailor import TailorGoal

from pants_occlum.testing import Project

BOM = "targets: [{target: /}]\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def images(project: Project, directory: str = "a") -> dict[str, list[str]]:
    """The images of a BUILD file with their BOMs."""
    path = project.root / directory / "BUILD"
    found = {}
    for node in ast.parse(path.read_text() if path.exists() else "").body:
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "occlum_image":
            fields = {one.arg: ast.literal_eval(one.value) for one in call.keywords}
            found[fields.get("name", Path(directory).name)] = fields["boms"]
    return found


def test_an_image_for_a_bom(project: Project) -> None:
    project.write({"a/app.yaml": BOM})
    project.run(TailorGoal, "::")
    assert images(project) == {"image": [":app"]}
    assert project.run(TailorGoal, "--check", "::").stdout == ""


def test_an_image_for_each_of_several_boms(project: Project) -> None:
    project.write({"a/one.yaml": BOM, "a/two.yaml": BOM, "image/image.yaml": BOM})
    project.run(TailorGoal, "::")
    assert images(project) == {"one_image": [":one"], "two_image": [":two"]}
    assert images(project, "image") == {"image_image": [":image"]}


def test_boms_that_others_include_are_parts_of_images(project: Project) -> None:
    project.write(
        {
            "a/app.yaml": "includes: [part.yaml, ../b/more.yaml, elsewhere.yaml]\n",
            "a/part.yaml": BOM,
            "b/more.yaml": BOM,
            "b/part.yaml": BOM,
            "c/elsewhere.yaml": BOM,
        }
    )
    project.run(TailorGoal, "::")
    assert images(project) == {"image": [":app"]}
    assert images(project, "b") == {"image": [":part"]}
    assert images(project, "c") == {}


def test_a_bom_that_one_with_a_target_includes(project: Project) -> None:
    build = "occlum_bom(name='app', source='app.yaml')\n"
    project.write({"a/app.yaml": "includes: [part.yaml]\n", "a/part.yaml": BOM, "a/BUILD": build})
    project.run(TailorGoal, "::")
    assert images(project) == {}


def test_boms_that_have_targets_need_no_image(project: Project) -> None:
    build = "occlum_bom(name='app', source='app.yaml')\n"
    project.write({"a/app.yaml": BOM, "a/BUILD": build})
    elsewhere = "occlum_bom(name='b', source='b.yaml')\nocclum_image(name='i', boms=['a:app'])\n"
    project.write({"b/b.yaml": BOM, "b/BUILD": elsewhere})
    assert project.run(TailorGoal, "--check", "::").stdout == ""


def test_names_that_are_taken(project: Project) -> None:
    project.write({"a/app.yaml": BOM, "a/BUILD": "target(name='image')\n"})
    project.write({"b/app.yaml": BOM, "b/BUILD": "target(name='app')\n"})
    project.write({"c/app.yaml": BOM, "c/app.yml": BOM})
    project.run(TailorGoal, "::")
    assert images(project) == {"app_image": [":app"]}
    assert images(project, "b") == images(project, "c") == {}


def test_boms_at_the_root_keep_their_names(project: Project) -> None:
    """Pants calls what it puts there `root`, and whatever else."""
    project.write({"app.yaml": BOM})
    project.run(TailorGoal, "::")
    assert (project.root / "BUILD").read_text() == (
        'occlum_bom(\n    name="app",\n    source="app.yaml",\n)\n\n'
        'occlum_image(\n    name="image",\n    boms=[\n        ":app",\n    ],\n)\n'
    )
    project.write({"zoo.yaml": BOM, "x.yml": BOM, "x.yaml": BOM, "zoo_image.yaml": BOM})
    project.run(TailorGoal, "::")
    found = images(project, "")
    assert found.pop("image") == [":app"]
    assert found.pop("zoo_image_image") == [":zoo_image"]
    assert [*found.values()] == [[":zoo"]]
    assert project.run(TailorGoal, "--check", "::").stdout == ""


def test_a_bom_that_is_to_have_no_target_gets_no_image(project: Project) -> None:
    project.write({"a/app.yaml": BOM, "app.yaml": BOM})
    ignored = ("--tailor-ignore-adding-targets=['a:app', '//:app']",)
    assert project.run(TailorGoal, "--check", "::", options=ignored).stdout == ""


def test_switched_off(project: Project) -> None:
    project.write({"a/app.yaml": BOM})
    project.run(TailorGoal, "::", options=("--no-occlum-tailor",))
    assert images(project) == {}
