from __future__ import annotations

from pathlib import Path

import pytest

from pants_occlum.testing import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


BUILD = """
    occlum_bom(name="bom", source="bom.yaml", include_dirs=["lib"])
    occlum_image(name="image", boms=[":bom"])
    """


def failure(project: Project, bom: str, build: str = BUILD) -> list[str]:
    """The problems that an image of one BOM ends with."""
    project.write({"app/bom.yaml": bom, "app/BUILD": build})
    first, *problems = project.failure("app:image").split("\n\n")
    assert first.startswith("app:image cannot be built, ")
    return problems


def copied(what: str) -> str:
    return f"targets: [{{target: /, copy: [{{{what}}}]}}]\n"


def test_file_that_no_target_owns(project: Project) -> None:
    project.write({"app/run.sh": ""})
    assert failure(project, copied("files: [../run.sh]")) == [
        "app/bom.yaml:1:39: there is no file app/run.sh\n"
        "  hint: app/run.sh exists, but no target owns it: "
        'add files(name="files", sources=["run.sh"]) to app/BUILD'
    ]


def test_file_beside_the_bom(project: Project) -> None:
    project.write({"app/a.conf": ""})
    assert failure(project, copied("files: [a.conf]")) == [
        "app/bom.yaml:1:39: there is no file app/occlum_instance/a.conf\n"
        "  hint: app/a.conf lies beside the BOM, but names start at app/occlum_instance here: "
        'write `from: ..` before it, or have `workspace="./"` in the BUILD file'
    ]


def test_directory_that_no_target_owns(project: Project) -> None:
    project.write({"conf/a/b": ""})
    assert failure(project, copied("dirs: [../../conf/]")) == [
        "app/bom.yaml:1:38: there is no directory conf\n"
        "  hint: conf exists, but no target owns it: "
        'add files(name="files", sources=["conf/**/*"]) to BUILD'
    ]


def test_wildcard_whose_matches_no_target_owns(project: Project) -> None:
    project.write({"app/a.txt": "", "app/b.txt": ""})
    (problem,) = failure(project, copied("files: ['../*.txt']"))
    assert 'no target owns it: add files(name="files", sources=["*.txt"]) to app/BUILD' in problem


def test_advice_takes_no_name_that_the_build_file_has(project: Project) -> None:
    project.write({"app/run.sh": "", "app/other.sh": "", "lib/part.yaml": "targets: []"})
    names = """
    files(name="files", sources=["other.sh"])
    files(name="files2", sources=["*.txt"])
    """
    (problem,) = failure(project, copied("files: [../run.sh]"), BUILD + names)
    assert 'add files(name="files3", sources=["run.sh"]) to app/BUILD' in problem
    project.write({"lib/BUILD.part": "files(name='part', sources=['x'])"})
    (problem,) = failure(project, "includes: [part.yaml]")
    assert 'add occlum_bom(name="part2", source="part.yaml") to lib/BUILD' in problem


def test_advice_takes_a_name_that_pants_takes(project: Project) -> None:
    project.write({"lib/part@2:3.yaml": "targets: []", "odd@dir/run.sh": ""})
    (problem,) = failure(project, "includes: ['part@2:3.yaml']")
    assert 'add occlum_bom(name="part_2_3", source="part@2:3.yaml") to lib/BUILD' in problem
    (problem,) = failure(project, copied("files: ['../../odd@dir/run.sh']"))
    assert 'add files(name="files", sources=["run.sh"]) to odd@dir/BUILD' in problem


def test_include_that_no_target_owns(project: Project) -> None:
    project.write({"lib/part.yaml": "targets: []"})
    (problem,) = failure(project, "includes: [part.yaml]")
    assert problem == (
        "app/bom.yaml:1:12: include 'part.yaml' was not found\n"
        "  hint: lib/part.yaml exists, but no target owns it: "
        'add occlum_bom(name="part", source="part.yaml") to lib/BUILD; searched: app, lib'
    )


def test_owner_that_was_excluded(project: Project) -> None:
    project.write({"app/run.sh": ""})
    build = BUILD.replace('name="bom"', 'name="bom", dependencies=["!app/run.sh:scripts"]')
    build += 'files(name="scripts", sources=["run.sh"])'
    (problem,) = failure(project, copied("files: [../run.sh]"), build)
    assert "its owner is no dependency: add app/run.sh:scripts to `dependencies`" in problem


def test_artefact_of_no_dependency(project: Project) -> None:
    (problem,) = failure(project, copied("files: [../../dist/app/app.pex]"))
    assert "hint: no dependency's artefact is dist/app/app.pex: add the target" in problem


def test_directory_without_files(project: Project) -> None:
    project.runner.create_dir("app/empty")
    (problem,) = failure(project, copied("dirs: [../empty]"))
    assert "app/empty exists, but has no files that Pants sees: list it under `mkdirs`" in problem


def test_misspelt_file(project: Project) -> None:
    project.write({"app/hello.sh": ""})
    assert failure(project, copied("files: [../helo.sh]")) == [
        "app/bom.yaml:1:39: there is no file app/helo.sh\n  hint: did you mean app/hello.sh?"
    ]


def test_file_that_is_nowhere(project: Project) -> None:
    assert failure(project, copied("files: [../gone, /gone]")) == [
        "app/bom.yaml:1:39: there is no file app/gone\n"
        "  hint: relative names start at app/occlum_instance here",
        "app/bom.yaml:1:48: there is no file /gone\n"
        "  hint: an absolute path is looked up in the sysroot: install it there, or correct it",
    ]


def test_loader_config_that_no_target_owns(project: Project) -> None:
    project.write({"app/loader.config": ""})
    build = BUILD.replace('name="bom"', 'name="bom", loader_config="./loader.config"')
    (problem,) = failure(project, "targets: []", build)
    assert 'add files(name="files", sources=["loader.config"]) to app/BUILD' in problem


def test_partly_owned_directory_warns(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.write(
        {
            "app/bom.yaml": "excludes: ['*.bak']\n" + copied("dirs: [../conf]"),
            "app/BUILD": BUILD + 'files(name="files", sources=["conf/*.txt"])',
            "app/conf/BUILD": "",
            "app/conf/a.txt": "",
            "app/conf/__pycache__/ignored": "",
            "app/conf/excluded.bak": "",
            **{f"app/conf/{name}.cfg": "" for name in "wxyz"},
        }
    )
    project.package("app:image")
    assert [message for message in caplog.messages if "conf" in message] == [
        "app:image: app/bom.yaml:2:38: app/conf is copied without app/conf/w.cfg, app/conf/x.cfg, "
        "app/conf/y.cfg and app/conf/z.cfg, as no dependency owns them\n"
        "  hint: let a `files` target own them, or exclude them"
    ]


def test_partly_owned_wildcard_warns(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.write(
        {
            "app/bom.yaml": copied("files: ['../*.txt']"),
            "app/BUILD": BUILD + 'files(name="files", sources=["a.txt"])',
            "app/a.txt": "",
            "app/b.txt": "",
            "app/.hidden.txt": "",
        }
    )
    project.package("app:image")
    warnings = [message for message in caplog.messages if "without" in message]
    assert len(warnings) == 1
    assert "app/*.txt is copied without app/b.txt, as no" in warnings[0]


def test_fully_owned_directory_does_not_warn(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    project.write(
        {
            "app/bom.yaml": copied("dirs: [../conf]"),
            "app/BUILD": BUILD + 'files(name="files", sources=["conf/**"])',
            "app/conf/a": "",
        }
    )
    project.package("app:image")
    assert not [message for message in caplog.messages if "without" in message]
