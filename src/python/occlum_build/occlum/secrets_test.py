from __future__ import annotations

import os
import shutil
import stat
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.build import build
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.package import package
from occlum_build.occlum.seal import seal
from occlum_build.occlum.signing import KeyFile
from occlum_build.occlum.testing import snapshot
from occlum_build.sefs.keys import UserKey


def test_built_in_key_is_read_by_its_owner_alone(
    build_request: BuildRequest, image_key: Path, tmp_path: Path
) -> None:
    request = replace(build_request, image_key=image_key, buildin_image_key=True)
    sealed = request.instance / "build/initfs/__ROOT"

    def modes(request: BuildRequest) -> set[int]:
        build(request)
        return {stat.S_IMODE(path.stat().st_mode) for path in sealed.iterdir()}

    assert modes(request) == {0o600}
    for path in sealed.iterdir():
        path.chmod(0o644)
    assert modes(request) == {0o600}  # also where nothing is built
    (tmp_path / "out.tar.gz").touch(0o644)
    package(request.instance, tmp_path / "out.tar.gz", "top")
    assert stat.S_IMODE((tmp_path / "out.tar.gz").stat().st_mode) == 0o600
    with tarfile.open(tmp_path / "out.tar.gz") as archive:
        packed = {m.name: m.mode for m in archive if m.isfile()}
    assert {packed.pop(f"top/build/initfs/__ROOT/{path.name}") for path in sealed.iterdir()} == {
        0o600
    }
    assert set(packed.values()) == {0o644, 0o755}
    assert modes(replace(request, buildin_image_key=False)) == {0o644}
    package(request.instance, tmp_path / "out.tar.gz", "top")
    assert stat.S_IMODE((tmp_path / "out.tar.gz").stat().st_mode) == 0o666 & ~umask()


def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_key_files_are_read_once(build_request: BuildRequest, image_key: Path) -> None:
    opened: list[str] = []

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":  # of open() and os.open()
            opened.append(str(arguments[0]))

    sys.addaudithook(note)
    build(replace(build_request, image_key=image_key, buildin_image_key=True))
    assert isinstance(build_request.signer, KeyFile)
    assert [opened.count(str(path)) for path in (image_key, build_request.signer.path)] == [1, 1]


def test_image_key_is_wiped_whatever_happens(
    build_request: BuildRequest, image_key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiped: list[UserKey] = []
    original = UserKey.wipe

    def wipe(self: UserKey) -> None:
        original(self)
        wiped.append(self)

    monkeypatch.setattr(UserKey, "wipe", wipe)
    request = replace(build_request, image_key=image_key)
    build(request)
    with pytest.raises(OcclumError, match="MRENCLAVE"):
        build(replace(request, expected_mrenclave="0" * 64))
    assert [key.file_text() for key in wiped] == [b"", b""]


@pytest.mark.parametrize("leads", ["out", "within"])
@pytest.mark.parametrize("has_key", [False, True])
def test_neither_key_nor_type_is_written_through_a_link(
    build_request: BuildRequest, image_key: Path, tmp_path: Path, leads: str, has_key: bool
) -> None:
    inst, outside = build_request.instance, tmp_path / "outside"
    shutil.copytree(inst / "initfs/etc", outside)
    (outside / "image_config.json").write_text("mine")
    etc = inst / "initfs/etc"
    etc.rename(inst / "initfs/cfg")
    etc.symlink_to(outside if leads == "out" else "cfg")
    before = snapshot(tmp_path)
    key = image_key if has_key else None
    request = replace(build_request, image_key=key, buildin_image_key=has_key)
    with pytest.raises(OcclumError, match=f"{etc}: is a symlink, where a directory belongs"):
        build(request)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("path", ["etc/image_key", "etc/image_config.json", "etc"])
def test_what_is_in_the_way_of_a_key_is_named_with_a_hint(
    build_request: BuildRequest, image_key: Path, path: str
) -> None:
    request = replace(build_request, image_key=image_key, buildin_image_key=True)
    place = request.instance / "initfs" / path
    if path == "etc":
        shutil.rmtree(place)
        place.touch()
    else:
        (place / "d").mkdir(parents=True)
    with pytest.raises(OcclumError, match=f"{place}: is a (file|directory), where a") as error:
        build(request)
    assert error.value.problems[0].hint
    assert not (request.instance / "build").exists()


@pytest.mark.parametrize("link", ["initfs/etc", "initfs/etc/image_key"])
def test_a_key_that_occlum_wrote_through_a_link_is_packed_for_its_owner_alone(
    build_request: BuildRequest, image_key: Path, tmp_path: Path, link: str
) -> None:
    build(build_request)
    inst, out = build_request.instance, tmp_path / "out.tar.gz"
    if link.endswith("etc"):
        (inst / link).rename(inst / "initfs/cfg")
        (inst / link).symlink_to("cfg")
        key = "cfg/image_key"
    else:
        (inst / link).symlink_to("../key")
        key = "key"
    (inst / "initfs" / key).write_bytes(image_key.read_bytes())
    package(inst, out, "top")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with tarfile.open(out) as archive:
        assert archive.getmember(f"top/initfs/{key}").mode == 0o600


def test_a_sealed_initfs_whose_etc_is_a_link_may_hold_a_key(
    build_request: BuildRequest, tmp_path: Path
) -> None:
    build(build_request)
    inst, out = build_request.instance, tmp_path / "out.tar.gz"
    shutil.copytree(inst / "initfs", tmp_path / "tree")
    (tmp_path / "tree/etc").rename(tmp_path / "tree/cfg")
    (tmp_path / "tree/etc").symlink_to("cfg")
    shutil.rmtree(inst / "build/initfs")
    (inst / "build/initfs").mkdir()
    seal(tmp_path / "tree", inst / "build/initfs")
    package(inst, out, "top")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
