from __future__ import annotations

import os
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
from occlum_build.occlum.signing import KeyFile
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
