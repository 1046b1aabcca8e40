"""Builds that are compared with an expected MRENCLAVE, and builds of a prebuilt image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.occlum.build import build
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.testing import TESTPROJECTS, changed, snapshot


def test_expected_mrenclave(build_request: BuildRequest) -> None:
    first = build(build_request).measurement["mrenclave"]
    assert build(replace(build_request, expected_mrenclave=first.upper())).unchanged
    before = snapshot(build_request.instance / "build")
    (build_request.instance / "image/bin/hello").write_text("changed")
    changed(build_request, metadata__debuggable="false")
    init = build_request.instance / "initfs/bin/init"
    init.write_text("another")
    libos = build_request.toolchain / "opt/occlum/build/lib/libocclum-libos.so.0.31.0"
    libos.write_bytes((TESTPROJECTS / "vectors/sign/enc_mini_tls.so").read_bytes())
    with pytest.raises(OcclumError) as caught:
        build(replace(build_request, expected_mrenclave=first))
    problem = caught.value.problems[0]
    assert problem.code == "mrenclave" and f"not {first} as expected" in problem.message
    head, *lines = [line.strip() for line in problem.hint.splitlines()]
    assert head == "since the last measurement.json, which has the expected MRENCLAVE:"
    assert [line.split(":")[0] for line in lines] == [
        "toolchain libos",
        "config $.metadata.debuggable",
        "initfs /bin/init",
        "image digest",
        "image entry /bin/hello",
    ]
    assert "true -> false" in lines[1]
    assert snapshot(build_request.instance / "build") == before


def test_expected_measurement(build_request: BuildRequest, tmp_path: Path) -> None:
    file = tmp_path / "app.measurement.json"
    expecting = replace(build_request, expected_measurement=file)
    with pytest.raises(OcclumError, match=r"json: there is no such file\n.*write it: --upd"):
        build(expecting)
    first = build(replace(expecting, update_expected=True)).measurement
    written = json.loads(file.read_bytes())
    assert written.pop("image_entries")["/bin/hello"].startswith("file 0644 ")
    assert written == json.loads(json.dumps(first))
    assert build(expecting).unchanged
    stamp = file.stat().st_mtime_ns
    assert build(replace(expecting, update_expected=True)).unchanged
    assert file.stat().st_mtime_ns == stamp
    # Nothing of an earlier build is at hand, as in CI.
    (build_request.instance / "image/bin/hello").chmod(0o755)
    changed(build_request, metadata__version_number="3")
    before = snapshot(build_request.instance)
    for name in ("measurement.json", "manifest.json"):
        (build_request.instance / name).unlink()
        del before[name]
    with pytest.raises(OcclumError) as caught:
        build(expecting)
    assert [line.strip().split(": ")[0] for line in str(caught.value).splitlines()[2:]] == [
        "enclave isv_svn",
        "config $.metadata.version_number",
        "image digest",
        "image entry /bin/hello",
        "where that is meant, write it anew",
    ]
    assert snapshot(build_request.instance) == before
    assert not build(replace(expecting, update_expected=True)).unchanged
    assert build(expecting).unchanged
    file.write_text("<<<<<<< HEAD\n")
    with pytest.raises(OcclumError, match=r"measurement\.json:1:1: not JSON"):
        build(expecting)
    assert build(replace(expecting, update_expected=True)).unchanged
    assert build(expecting).unchanged


def test_an_unchanged_build_can_still_be_unexpected(build_request: BuildRequest) -> None:
    build(build_request)
    with pytest.raises(OcclumError, match="no recorded input differs"):
        build(replace(build_request, expected_mrenclave="0" * 64))


def test_prebuilt_image(build_request: BuildRequest, image_key: Path, tmp_path: Path) -> None:
    inst = build_request.instance
    encrypted = replace(build_request, image_key=image_key)
    first = build(encrypted).measurement
    (inst / "image").rename(tmp_path / "image")
    again = build(replace(encrypted, force=True)).measurement
    assert (again["image_mac"], again["mrenclave"]) == (first["image_mac"], first["mrenclave"])
    assert again["inputs"]["image"]["mac"] == first["image_mac"]
    assert build(build_request).measurement["inputs"]["image"]["type"] == "encrypted"
    (inst / "build/mount/.ROOT_MAC").write_text("00" + "-00" * 15)
    with pytest.raises(OcclumError, match=r"not the one of its \.ROOT_MAC"):
        build(build_request)
    (inst / "build/mount/.ROOT_MAC").unlink()
    with pytest.raises(OcclumError, match="neither image/ nor a secure file system"):
        build(build_request)


def test_prebuilt_image_is_not_encrypted(build_request: BuildRequest, image_key: Path) -> None:
    build(build_request)
    (build_request.instance / "image").rename(build_request.instance.parent / "image")
    with pytest.raises(OcclumError, match="is not encrypted"):
        build(replace(build_request, image_key=image_key))
