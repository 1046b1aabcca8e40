from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pants.backend.project_info.dependencies import Dependencies
from pants.backend.project_info.dependents import DependentsGoal
from pants.backend.project_info.list_targets import List
from pants.backend.project_info.paths import PathsGoal
from pants.backend.project_info.peek import Peek

from pants_occlum.testing import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def dependencies(project: Project, address: str, **kwargs: Any) -> list[str]:
    result = project.run(Dependencies, address, **kwargs)
    assert result.exit_code == 0
    return list(result.stdout.splitlines())


def test_files_dirs_and_wildcards(project: Project) -> None:
    project.write(
        {
            "a/bom.yaml": """
                targets:
                  - target: /bin
                    copy:
                      - files:
                          - ../hello.sh
                          - /bin/sh
                          - name: ../conf/[x] y.txt
                          - ../../w/*.txt
                          - ../gone.sh
                      - from: ../tree
                        dirs: [x/]
                """,
            "a/BUILD": """
                occlum_bom(name="bom", source="bom.yaml")
                files(name="scripts", sources=["*.sh"])
                files(name="conf", sources=["conf/**"])
                files(name="tree", sources=["tree/**"])
                """,
            "a/hello.sh": "",
            "a/other.sh": "",
            "a/conf/[x] y.txt": "",
            "a/tree/x/y/z": "",
            "a/tree/other/z": "",
            "w/one.txt": "",
            "w/one.md": "",
            "w/BUILD": "files(sources=['*'])",
        }
    )
    assert dependencies(project, "a:bom") == [
        "a/conf/[[]x] y.txt:../conf",  # so Pants escapes addresses
        "a/hello.sh:scripts",
        "a/tree/x/y/z:../../../tree",
        "w/one.txt",
    ]


def test_a_new_file_in_a_named_directory_is_found_and_oneself_is_not(project: Project) -> None:
    project.write(
        {
            "a/bom.yaml": "targets: [{target: /, copy: [{from: ..}]}]",
            "a/BUILD": """
                occlum_bom(name="bom", source="bom.yaml")
                files(name="scripts", sources=["*.sh"])
                """,
            "a/one.sh": "",
        }
    )
    assert dependencies(project, "a:bom") == ["a/one.sh:scripts"]
    project.write({"a/two.sh": ""})
    assert dependencies(project, "a:bom") == ["a/one.sh:scripts", "a/two.sh:scripts"]


INCLUDING = {
    "app/bom.yaml": "includes: [common.yaml, '${EXTRA:-none.yaml}', base.yaml]",
    "app/BUILD": """
        occlum_bom(
            name="bom",
            source="bom.yaml",
            include_dirs=["common", "/opt/occlum/etc/template"],
            env=["EXTRA", "WHAT=greet"],
            workspace="work/space",
        )
        occlum_image(name="image", boms=[":bom"])
        """,
    "common/common.yaml": "targets: [{target: /, copy: [{files: ['../$WHAT.sh']}]}]",
    "common/more.yaml": "includes: [more/last.yaml]",
    "common/more/last.yaml": "targets: [{target: /, copy: [{files: ['../last.sh']}]}]",
    "common/BUILD": "occlum_bom(name='common', source='common.yaml')",
    "work/greet.sh": "",
    "work/last.sh": "",
    "work/BUILD": "files(name='files', sources=['*.sh'])",
}


def test_fields_of_the_root_rule_the_included_boms(project: Project) -> None:
    project.write(INCLUDING)
    assert dependencies(project, "app:bom") == ["common:common", "work/greet.sh:files"]
    with_more = dependencies(project, "app:bom", env={"EXTRA": "more.yaml"})
    assert with_more == ["common:common", "work/greet.sh:files", "work/last.sh:files"]
    assert dependencies(project, "common:common") == []


def test_includes_of_the_sysroot_are_followed(project: Project) -> None:
    project.write(INCLUDING)
    base = b"targets: [{target: /, copy: [{files: [../last.sh]}]}]"
    project.host("opt/occlum/etc/template/base.yaml", base)
    assert "work/last.sh:files" in dependencies(project, "app:bom")
    project.default_sysroot = "/nonexistent"
    assert "work/greet.sh:files" in dependencies(project, "app:bom")


def test_dependents_paths_list_and_peek(project: Project) -> None:
    project.write(INCLUDING)
    assert project.run(DependentsGoal, "common/common.yaml").stdout.splitlines() == ["app:bom"]
    changed = project.run(DependentsGoal, "work/greet.sh", options=("--dependents-transitive",))
    assert changed.stdout.splitlines() == ["app:bom", "app:image", "work:files"]
    args = ("--paths-from=app:image", "--paths-to=work/greet.sh:files")
    paths = json.loads(project.run(PathsGoal, options=args).stdout)
    assert paths == [["app:image", "app:bom", "work/greet.sh:files"]]
    only = ("--filter-target-type=occlum_bom",)
    assert project.run(List, "::", options=only).stdout.split() == ["app:bom", "common:common"]
    peeked = json.loads(project.run(Peek, "app:bom").stdout)[0]
    assert peeked["workspace"] == "work/space"
    assert peeked["dependencies"] == ["common:common", "work/greet.sh:files"]


def test_dependency_that_is_excluded(project: Project) -> None:
    build = INCLUDING["app/BUILD"].replace('name="bom"', 'name="bom", dependencies=["!common"]')
    project.write({**INCLUDING, "app/BUILD": build})
    assert dependencies(project, "app:bom") == ["work/greet.sh:files"]


@pytest.mark.parametrize(
    "bom",
    [
        "",
        "targets: [",
        "targets: [{target: /, copy: [{files: [../../../../outside, '']}]}]",
        "includes: [bom.yaml]",
        "includes: [gone.yaml, $UNDEFINED, '']",
    ],
)
def test_broken_bom_raises_nothing(project: Project, bom: str) -> None:
    project.write({"a/bom.yaml": bom, "a/BUILD": "occlum_bom(name='bom', source='bom.yaml')"})
    assert dependencies(project, "a:bom") == []


def test_boms_that_include_one_another_can_be_listed(project: Project) -> None:
    project.write(
        {
            "a/one.yaml": "includes: [two.yaml]",
            "a/two.yaml": "includes: [one.yaml]",
            "a/BUILD": "[occlum_bom(name=n, source=n + '.yaml') for n in ('one', 'two')]",
        }
    )
    assert dependencies(project, "a:one") == ["a:two"]
    assert dependencies(project, "a:two") == ["a:one"]


def test_occlum_files(project: Project) -> None:
    project.write(
        {
            "a/BUILD": """
                occlum_files(
                    name="files",
                    files=["*.sh", "/bin/sh", "$cost.txt"],
                    dirs=["conf/"],
                    packages=[":tar"],
                    loader_config="./loader.config",
                )
                files(name="all", sources=["**/*"])
                archive(name="tar", format="tar", files=[":all"])
                """,
            "a/x.sh": "",
            "a/$cost.txt": "",
            "a/other.txt": "",
            "a/conf/d/x": "",
            "a/loader.config": "",
        }
    )
    assert dependencies(project, "a:files") == [
        "a/$cost.txt:all",
        "a/conf/d/x:../../all",
        "a/loader.config:all",
        "a/x.sh:all",
        "a:tar",
    ]


def test_what_is_no_variable(project: Project) -> None:
    for variable in ("", "=x", "2ND", "A B", "A*"):
        build = f"occlum_bom(name='bom', source='bom.yaml', env=['WHAT=x', {variable!r}])"
        image = "occlum_image(name='image', boms=[':bom'])"
        project.write({"app/bom.yaml": "targets: []", "app/BUILD": f"{build}\n{image}\n"})
        assert project.failure("app:image") == (
            f"The 'env' field in target app:bom takes `NAME` or `NAME=value`, not {variable!r}."
        )
