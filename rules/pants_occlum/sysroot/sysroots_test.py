from __future__ import annotations

from pathlib import Path

import pytest

from pants_occlum.testing import Project, entries

BOMS = """
    occlum_sysroot(name="one", root="roots/one")
    occlum_sysroot(name="two", root="roots/two")
    occlum_bom(name="bom", source="bom.yaml", loader_config="/loader.config"{bom})
    occlum_files(name="files", files=["/x"], target="/more", loader_config="/loader.config"{files})
    occlum_image(name="image", boms=[":bom", ":files"]{image})
    """
ONE, TWO = ', sysroot=":one"', ', sysroot=":two"'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    for name in ("one", "two"):
        project.write({f"roots/{name}/x": name, f"roots/{name}/loader.config": ""})
    project.write({"app/bom.yaml": "targets: [{target: /, copy: [{files: [/x]}]}]"})
    return project


def built(project: Project, **fields: str) -> str:
    """The content of /x of an image whose targets have these fields."""
    build = BOMS.format(**{"bom": "", "files": "", "image": "", **fields})
    project.write({"app/BUILD": build})
    image = project.package("app:image") / "image"
    assert (image / "x").read_text() == (image / "more/x").read_text()
    return (image / "x").read_text()


def test_image_or_any_bom_names_the_sysroot(project: Project) -> None:
    assert built(project, image=ONE) == "one"
    assert built(project, bom=TWO) == "two"
    assert built(project, files=ONE, image=ONE) == "one"


def test_option_names_the_default(project: Project) -> None:
    project.default_sysroot = "app:two"
    assert built(project) == "two"
    project.default_sysroot = "//app:two"
    assert built(project) == "two"
    assert built(project, bom=ONE) == "one"


def test_sysroots_that_differ(project: Project) -> None:
    with pytest.raises(Exception, match="an image and its BOMs have one sysroot") as caught:
        built(project, bom=TWO, image=ONE)
    assert "The 'sysroot' field in target app:image is app:one, but that of app:bom" in str(
        caught.value
    )


def test_what_is_no_sysroot(project: Project) -> None:
    with pytest.raises(Exception, match="app:bom is a `occlum_bom`, but the 'sysroot' field in "):
        built(project, image=', sysroot=":bom"')
    project.default_sysroot = "app:bom"
    with pytest.raises(Exception, match=r"but \[occlum\]\.sysroot must be an `occlum_sysroot`"):
        built(project)


def test_absolute_links_resolve_inside_the_root(project: Project) -> None:
    (project.root / "roots/one/x").rename(project.root / "roots/one/real")
    (project.root / "roots/one/x").symlink_to("/real")
    assert built(project, image=ONE) == "one"
    assert "/x" in entries(project.root / "dist/app/image")
