"""What a build and a package are made of: what changes meanwhile is told, and keys are refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files.source import open_source
from occlum_build.occlum import build as build_module
from occlum_build.occlum import entries as tree
from occlum_build.occlum import package as package_module
from occlum_build.occlum.build import build
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.package import package
from occlum_build.occlum.seal import seal
from occlum_build.occlum.signing import KeyFile
from occlum_build.occlum.testing import KEY_TEXT, TESTPROJECTS, snapshot

TIME = 1_500_000_000_123_456_789


def overwrite(file: Path) -> None:
    file.write_bytes(b"9" * file.stat().st_size)
    os.utime(file, ns=(TIME, TIME))


def replace_file(file: Path) -> None:
    twin = file.with_name("twin")
    twin.write_bytes(b"9" * file.stat().st_size)
    os.utime(twin, ns=(TIME, TIME))
    twin.replace(file)


def by_link(file: Path) -> None:
    file.rename(file.with_name("moved"))
    file.symlink_to("moved")


def by_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


CHANGES = [
    (overwrite, "changed after the image was planned"),
    (replace_file, "changed after the image was planned"),
    (by_link, "is a link now, and was a file"),
    (by_fifo, "is not a regular file any more"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES[:2])
def test_a_file_of_the_image_that_changes_between_manifest_and_file_system(
    build_request: BuildRequest,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    message: str,
) -> None:
    """The manifest, which measurement.json has the digest of, would be one of another image."""
    build(build_request)
    before = snapshot(build_request.instance / "build")
    file = build_request.instance / "image/bin/hello"
    file.write_bytes(b"8" * 100)
    os.utime(file, ns=(TIME, TIME))

    def changing(*arguments: object, **options: object) -> object:
        if "manifest" in options:
            change(file)
        return seal(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(build_module, "seal", changing)
    with pytest.raises(OcclumError, match=f"hello: {message}") as raised:
        build(build_request)
    assert raised.value.code == "sefs-source-changed"
    assert snapshot(build_request.instance / "build") == before
    assert not list(build_request.instance.glob(".occlum-build-*"))


@pytest.mark.parametrize(("change", "message"), CHANGES[2:])
def test_a_file_of_a_tree_that_is_replaced_after_it_was_scanned(
    tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    (tmp_path / "initfs").mkdir()
    (tmp_path / "initfs/f").write_bytes(b"1")
    scanned = tree.scan(tmp_path / "initfs")
    change(tmp_path / "initfs/f")
    with pytest.raises(OcclumError, match=f"f: {message}"):
        tree.write(scanned, tmp_path / "out")


def test_a_toolchain_file_that_is_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    (tmp_path / "l").symlink_to("f")
    tree.write([tree.copy_of("x", tmp_path / "l")], tmp_path / "out")
    assert (tmp_path / "out/x").read_bytes() == b"1"


@pytest.mark.parametrize("change", [overwrite, lambda file: os.truncate(file, 5), by_link, by_fifo])
def test_a_file_that_changes_while_it_is_packaged(
    build_request: BuildRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
) -> None:
    build(build_request)
    file = build_request.instance / "run/mount/f"
    file.write_bytes(b"1" * 100_000)
    os.utime(file, ns=(TIME, TIME))

    def changing(path: Path) -> object:
        if path != file:
            return open_source(path)
        if change in (by_link, by_fifo):
            change(file)
            return open_source(path)
        source = open_source(path)
        change(file)
        return source

    monkeypatch.setattr(package_module, "open_source", changing)
    with pytest.raises(OcclumError, match=r"run/mount/f: (changed|is)") as raised:
        package(build_request.instance, tmp_path / "out.tar.gz", "top")
    assert raised.value.code == "source-changed"
    assert not [path for path in os.listdir(tmp_path) if "out.tar.gz" in path]


@pytest.mark.parametrize("top", ["image", "initfs"])
@pytest.mark.parametrize("way", ["copy", "copy without line end", "hard link", "the key itself"])
@pytest.mark.parametrize("name", ["image key", "signing key"])
def test_a_key_of_the_build_in_its_image_is_refused(
    build_request: BuildRequest, image_key: Path, tmp_path: Path, name: str, way: str, top: str
) -> None:
    sign_key = tmp_path / "sign.pem"
    sign_key.write_bytes((TESTPROJECTS / "vectors/sign/test_key.pem").read_bytes())
    sign_key.chmod(0o600)
    request = replace(build_request, image_key=image_key, signer=KeyFile(sign_key))
    key = image_key if name == "image key" else sign_key
    inside = request.instance / top / "bin/data"
    if way == "hard link":
        os.link(key, inside)
    elif way == "the key itself":
        key.rename(inside)
        if name == "image key":
            request = replace(request, image_key=inside)
        else:
            request = replace(request, signer=KeyFile(inside))
    else:
        text = key.read_bytes()
        inside.write_bytes(text.rstrip() if "line end" in way else text)
    with pytest.raises(OcclumError) as raised:
        build(request)
    (problem,) = raised.value.problems
    assert problem.code == "key-in-image"
    assert problem.message.startswith(f"this is the {name} of this build")
    assert problem.place is not None
    assert problem.place.file == str(inside)
    assert KEY_TEXT not in str(raised.value)
    assert not (request.instance / "build").exists()


def test_what_is_no_key_of_the_build_is_the_users_own(
    build_request: BuildRequest, image_key: Path
) -> None:
    request = replace(build_request, image_key=image_key, buildin_image_key=True)
    (request.instance / "image/bin/other").write_text(KEY_TEXT.replace("c0", "c1") + "\n")
    (request.instance / "image/bin/link").symlink_to(image_key)
    (request.instance / "image/bin/gone").symlink_to("a" * len(KEY_TEXT))
    (request.instance / "initfs/etc/image_key").write_text(KEY_TEXT + "\n")
    build(request)
