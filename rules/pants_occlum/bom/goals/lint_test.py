from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pants.core.goals.lint import Lint, LintResult
from pants.engine.addresses import Address
from pants.engine.rules import QueryRule

from pants_occlum.bom.goals.lint import BomLintFieldSet, BomLintRequest
from pants_occlum.bom.target_types import BomSourceField
from pants_occlum.testing import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path, QueryRule(LintResult, [BomLintRequest.Batch]))


def lint(project: Project, *boms: str, env: Mapping[str, str] | None = None) -> LintResult:
    """Lint `directory:name` targets, whose BOM is `name.yaml`."""
    field_sets = []
    for bom in boms:
        directory, _, name = bom.partition(":")
        address = Address(directory, target_name=name)
        source = BomSourceField(f"{name}.yaml", address)
        field_sets.append(BomLintFieldSet(address, source))
    batch: Any = BomLintRequest.Batch
    batch = batch(BomLintRequest.tool_name, tuple(field_sets), None)
    return project.request(LintResult, batch, env=env)


def test_all_problems_of_a_bom_are_told_with_their_places(project: Project) -> None:
    project.write(
        {
            "a/bom.yaml": """\
                includes: [gone.yaml]
                targets:
                  - target: /bin
                    mkdirs: [../../up]
                    copy:
                      - files: [$PROGRAM]
                      - from: ../../../out
                """,
            "a/BUILD": "occlum_bom(name='bom', source='bom.yaml', include_dirs=['inc'])",
        }
    )
    result = lint(project, "a:bom")
    assert (result.exit_code, result.linter_name) == (1, "occlum-bom-lint")
    assert result.stdout.split("\n\n") == [
        "a/bom.yaml:1:12: include 'gone.yaml' was not found\n  hint: searched: a, inc",
        "a/bom.yaml:4:14: '../../up' leaves the image\n  hint: remove the `..`",
        "a/bom.yaml:6:17: variable 'PROGRAM' is not defined in '$PROGRAM'\n"
        "  hint: define it, or give a default: ${PROGRAM:-value}",
        "a/bom.yaml:7:15: '../../../out' leaves the build root\n  hint: name a file below it",
    ]


def test_mistakes_of_the_text(project: Project) -> None:
    project.write(
        {
            "a/bom.yaml": "excludes: ['!']\ntarget: []\n",
            "a/BUILD": "occlum_bom(name='bom', source='bom.yaml')",
        }
    )
    assert [line for line in lint(project, "a:bom").stdout.splitlines() if line[:1] != " "] == [
        "a/bom.yaml:1:12: exclude '!' is an rsync filter rule, not a pattern",
        "",
        "a/bom.yaml:2:1: unknown key 'target' in a BOM",
    ]


INCLUDING = {
    "a/bom.yaml": "includes: [../c/part.yaml, base.yaml]",
    "a/BUILD": """
        occlum_bom(name="bom", source="bom.yaml", env=["NAME"], include_dirs=["/etc/template"])
        """,
    "c/part.yaml": "targets: [{target: /, copy: [{files: ['/bin/$NAME', '/bin/$OTHER']}]}]",
    "c/BUILD": "occlum_bom(name='part', source='part.yaml')",
}


def test_bom_that_is_too_large(project: Project) -> None:
    project.write(
        {
            "a/bom.yaml": "{}\n" + "#" * (4 << 20),
            "a/BUILD": "occlum_bom(name='bom', source='bom.yaml')",
        }
    )
    result = lint(project, "a:bom")
    assert (result.exit_code, result.stdout) == (1, "a/bom.yaml: larger than 4 MiB")


def test_included_bom_is_checked_under_its_root(project: Project) -> None:
    project.write(INCLUDING)
    project.host("etc/template/base.yaml", b"targets: []")
    other = "c/part.yaml:1:53: variable 'OTHER' is not defined"
    for boms in (["c:part"], ["a:bom"], ["a:bom", "c:part"]):
        result = lint(project, *boms, env={"NAME": "sh"})
        assert result.stdout.count("not defined") == 1
        assert result.stdout.startswith(other)


def test_included_bom_that_an_image_names_is_a_root_too(project: Project) -> None:
    project.write({**INCLUDING, "i/BUILD": "occlum_image(name='image', boms=['c:part'])"})
    assert lint(project, "c:part", env={"NAME": "sh"}).stdout.count("not defined") == 2


def test_mistake_in_a_bom_of_the_sysroot(project: Project) -> None:
    project.write(INCLUDING)
    project.host("etc/template/base.yaml", b"targets: nothing")
    assert "/etc/template/base.yaml:1:10: `targets` must be a list" in lint(project, "a:bom").stdout


def test_sysroot_that_is_missing(project: Project) -> None:
    project.write(INCLUDING)
    project.sysroot.rmdir()
    assert "is not a directory" in lint(project, "a:bom").stdout


def test_goal(project: Project) -> None:
    project.write(
        {
            "a/good.yaml": "targets: [{target: /}]",
            "a/bad.yaml": "targets: {}",
            "a/BUILD": "[occlum_bom(name=n, source=n + '.yaml') for n in ('good', 'bad')]",
        }
    )
    good = project.run(Lint, "a:good")
    assert (good.exit_code, good.stderr.strip()) == (0, "✓ occlum-bom-lint succeeded.")
    bad = project.run(Lint, "a::")
    assert (bad.exit_code, bad.stderr.strip()) == (1, "✕ occlum-bom-lint failed.")
    skipped = project.run(Lint, "a::", options=("--occlum-bom-lint-skip",))
    assert (skipped.exit_code, skipped.stderr) == (0, "")
