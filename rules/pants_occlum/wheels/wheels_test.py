"""Wheels as files of images, by rules: chosen, fetched, installed, and in an image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pants.engine.addresses import Address

from occlum_build.wheels.testing_wheels import lock_of, locked, tree_of, wheel_of
from pants_occlum.bom.project_sources import wheel_directory
from pants_occlum.testing import Project, entries

BUILD = """
    occlum_wheels(name="wheels", lockfile="./app.lock", python="3.11"{wheels})
    occlum_image(name="image", boms=[":wheels"{boms}])
    """
MORE = """
    occlum_files(name="more", files=["more"], dependencies=[":file"])
    file(name="file", source="more")
    """
SITE = "usr/lib/python3/dist-packages"
TOOL = wheel_of(
    "tool",
    "1.0",
    {"tool/__init__.py": b"import dep\n"},
    info={"entry_points.txt": b"[console_scripts]\ntool = tool:main\n"},
)
DEP = wheel_of("Dep_x", "2.1", {"dep.py": b"1\n"})


class WheelsProject(Project):
    """app:image of app:wheels, whose wheels are in `site`."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.site = tmp_path / "site"
        self.site.mkdir()
        self.build()
        self.lock({"tool": (TOOL, "1.0", ["dep-x>=2"]), "Dep_x": (DEP, "2.1", [])}, ["tool"])

    def build(self, wheels: str = "", boms: str = "") -> None:
        self.write({"app/BUILD": BUILD.format(wheels=wheels, boms=boms)})

    def lock(self, wheels: Mapping[str, tuple[bytes, str, list[str]]], roots: list[str]) -> None:
        every: list[Any] = []
        for name, (content, version, requires) in wheels.items():
            path = self.site / f"{name}-{version}-py3-none-any.whl"
            path.write_bytes(content)
            every.append(locked(name, version, [(path.as_uri(), content)], requires))
        self.write({"app/app.lock": lock_of(every, roots)})


@pytest.fixture
def project(tmp_path: Path) -> WheelsProject:
    return WheelsProject(tmp_path)


def test_an_image_of_wheels(project: WheelsProject) -> None:
    artefacts = project.package("app:image")
    image = tree_of(artefacts / "image")
    assert set(image) == {
        *(f"{SITE}/tool/__init__.py", f"{SITE}/dep.py", "usr/bin/tool"),
        *(f"{SITE}/tool-1.0.dist-info/{one}" for one in ("entry_points.txt", "RECORD")),
        *(f"{SITE}/tool-1.0.dist-info/{one}" for one in ("METADATA", "WHEEL", "INSTALLER")),
        *(f"{SITE}/Dep_x-2.1.dist-info/{one}" for one in ("METADATA", "WHEEL", "INSTALLER")),
        f"{SITE}/Dep_x-2.1.dist-info/RECORD",
    }
    assert image["usr/bin/tool"][0] == 0o755
    assert entries(artefacts)[f"/{SITE}/dep.py"]["provenance"] == {
        "bom": "app:wheels (dep-x 2.1)",
        "source": f"app:wheels/dep-x-2.1/{SITE}/dep.py",
    }


def test_what_is_cached_needs_no_wheel(project: WheelsProject) -> None:
    before = project.package("app:image").joinpath("image.digest").read_text()
    shutil.rmtree(project.site)
    shutil.rmtree(project.named_caches / "occlum_wheels")
    shutil.rmtree(project.root / "dist")
    project.write({"app/BUILD": BUILD.format(wheels="", boms=', ":more"') + MORE, "app/more": b""})
    assert project.package("app:image").joinpath("image.digest").read_text() != before


def test_fields(project: WheelsProject) -> None:
    project.build(', requirements=["Dep.X"], target="/opt/lib", excludes=["*.dist-info"]')
    image = tree_of(project.package("app:image") / "image")
    assert set(image) == {"opt/lib/dep.py"}


@pytest.mark.parametrize(
    ("wheels", "words"),
    [
        (', glibc="3"', "The 'python' and 'glibc' fields in target app:wheels: '3' is no version"),
        (', target="lib"', "The 'target' field in target app:wheels must be an absolute path"),
        (', prefix="/usr/../x"', "The 'prefix' field in target app:wheels must be an absolute"),
        (', interpreter="/bin/env python"', "The 'interpreter' field in target app:wheels is"),
        (', requirements=["other"]', "app/app.lock: other is not in the lock"),
    ],
)
def test_fields_that_are_wrong(project: WheelsProject, wheels: str, words: str) -> None:
    project.build(wheels)
    assert words in project.failure("app:image")


def test_a_resolve_of_the_python_backend(project: WheelsProject) -> None:
    build = BUILD.format(wheels="", boms="")
    project.write({"app/BUILD": build.replace('lockfile="./app.lock"', 'resolve="app"')})
    resolves = "--python-resolves={'app': 'app/app.lock', 'other': 'x.lock'}"
    project.package("app:image", options=(resolves,))
    text = project.failure("app:image")
    assert "The 'resolve' field in target app:wheels is 'app', and [python].resolves has" in text
    project.build(', resolve="app"')
    text = project.failure("app:image", options=(resolves,))
    assert "app:wheels must have one of the fields 'resolve' and 'lockfile'" in text


@pytest.mark.parametrize("lockfile", ["../x.lock", "/x.lock", ".."])
def test_lock_files_outside_of_the_project(project: WheelsProject, lockfile: str) -> None:
    build = BUILD.format(wheels="", boms="").replace("./app.lock", lockfile)
    project.write({"app/BUILD": build})
    assert "The 'lockfile' field in target app:wheels must be" in project.failure("app:image")


def test_no_lock_file(project: WheelsProject) -> None:
    (project.root / "app/app.lock").unlink()
    text = project.failure("app:image")
    assert "app:image cannot be built, 1 error" in text
    assert "app/app.lock: there is no such lock file" in text


def test_a_wheel_that_is_gone(project: WheelsProject) -> None:
    (project.site / "Dep_x-2.1-py3-none-any.whl").unlink()
    text = project.failure("app:image")
    assert "app:image cannot be built, 1 error" in text
    assert "app:wheels: dep-x 2.1 (" in text and "is nowhere to be had" in text
    assert "file:/{path}: not there" in text


def test_mirrors_of_the_site(project: WheelsProject) -> None:
    shutil.move(project.site, project.root / "3rdparty")
    text = project.failure("app:image")
    assert "2 errors" in text
    project.package("app:image", options=("--occlum-wheel-mirrors=//3rdparty/{name}",))


def test_a_hostile_wheel(project: WheelsProject) -> None:
    project.lock({"tool": (wheel_of("tool", "1.0", {"../x": b""}), "1.0", [])}, ["tool"])
    text = project.failure("app:image")
    assert "tool-1.0-py3-none-any.whl: no usable wheel: the name '../x' in it" in text
    assert "1 error" in text


def test_two_wheels_with_one_path(project: WheelsProject) -> None:
    other = wheel_of("other", "1.0", {"dep.py": b"2\n", "tool/__init__.py": b"import dep\n"})
    project.lock(
        {"tool": (TOOL, "1.0", []), "other": (other, "1.0", []), "Dep_x": (DEP, "2.1", [])},
        ["tool", "other", "dep-x"],
    )
    text = project.failure("app:image")
    assert "app:wheels: two wheels have other files at one path:" in text
    assert f"  /{SITE}/dep.py: dep-x and other\n" in text
    assert "tool/__init__.py" not in text


def test_damaged_and_emptied_caches(project: WheelsProject) -> None:
    right = tree_of(project.package("app:image") / "image")
    cache = project.named_caches / "occlum_wheels"
    for file in cache.iterdir():
        file.write_bytes(b"x" * file.stat().st_size)
    # The token is in the store, and another layout is in no cache.
    project.build(', interpreter="/usr/bin/python3.11"')
    image = tree_of(project.package("app:image") / "image")
    assert set(image) == set(right)
    assert image["usr/bin/tool"][1].startswith(b"#!/usr/bin/python3.11\n")
    shutil.rmtree(cache)
    project.build(', interpreter="/usr/bin/python3.12"')
    assert (
        tree_of(project.package("app:image") / "image")["usr/bin/tool"][1]
        != image["usr/bin/tool"][1]
    )
    assert json.loads((project.root / "dist/app/image/manifest.json").read_text())["schema"] == 1


def test_parametrized_wheels_have_a_directory_each() -> None:
    values = ("3.10", "3.11", "/", "/a*")
    addresses = [Address("app", target_name="w", parameters={"of": value}) for value in values]
    assert [wheel_directory(one, "numpy 1.0") for one in addresses] == [
        *("app:w@of=3.10/numpy-1.0", "app:w@of=3.11/numpy-1.0"),
        *("app:w@of=%2F/numpy-1.0", "app:w@of=%2Fa%2A/numpy-1.0"),
    ]
    assert wheel_directory(Address("app", target_name="w"), "numpy 1.0") == "app:w/numpy-1.0"


def test_a_mirror_of_the_site_that_is_none(project: WheelsProject) -> None:
    text = project.failure("app:image", options=("--occlum-wheel-mirrors=ftp://x",))
    assert "[occlum].wheel_mirrors: the mirror 'ftp://x'" in text
