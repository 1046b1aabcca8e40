from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.run.target import RunTarget, find_target

MANIFEST = '{"entries":[],"schema":1}'


def error(path: Path) -> str:
    with pytest.raises(OcclumError) as raised:
        find_target(path)
    return str(raised.value.problems[0])


def test_the_directory_of_an_image(tmp_path: Path) -> None:
    assert find_target(tmp_path) == RunTarget(tmp_path, None, Path.cwd())


def test_what_package_wrote(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "manifest.json").write_text(MANIFEST)
    wanted = RunTarget(tmp_path / "image", None, Path.cwd())
    assert find_target(tmp_path) == wanted
    assert find_target(tmp_path / "manifest.json") == wanted


def test_an_instance(tmp_path: Path) -> None:
    (tmp_path / "Occlum.json").write_text("{}")
    assert "has no image/, only what was made of it\n  hint: name the image's" in error(tmp_path)
    (tmp_path / "build/mount/__ROOT").mkdir(parents=True)
    assert "hint: unpack what it has, `occlum-build sefs unzip" in error(tmp_path)
    (tmp_path / "image").mkdir()
    assert find_target(tmp_path) == RunTarget(
        tmp_path / "image", tmp_path / "Occlum.json", tmp_path
    )


def test_what_cannot_be_run(tmp_path: Path) -> None:
    assert "/ is the root of this machine, no image" in error(Path("/"))
    assert f"there is no {tmp_path}/gone" in error(tmp_path / "gone")
    (tmp_path / "image.tar").write_text("x" * 1000)
    assert "neither a directory nor the manifest" in error(tmp_path / "image.tar")
    (tmp_path / "manifest.json").write_text(MANIFEST)
    assert "is not beside it" in error(tmp_path / "manifest.json")
