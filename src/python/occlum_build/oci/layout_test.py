from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from occlum_build.errors import Report
from occlum_build.oci.layer import LayerInfo
from occlum_build.oci.layout import (
    ImageLayer,
    ImageSettings,
    Layout,
    blob_path,
    check_compression,
    check_settings,
    layout_of,
)

LAYER = ImageLayer("C library", LayerInfo("type/x", f"sha256:{'a' * 64}", 7, f"sha256:{'b' * 64}"))
SETTINGS = ImageSettings(
    entry_point=("/bin/app", "-v"),
    env=("A=b",),
    labels={"l": "1"},
    annotations={"n": "2"},
    ref_name="team/app-1.0",
)


def _blob(layout: Layout, descriptor: dict[str, Any]) -> dict[str, Any]:
    content = layout.files[blob_path(descriptor["digest"])]
    assert descriptor["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert descriptor["size"] == len(content)
    value = json.loads(content)
    assert isinstance(value, dict)
    return value


def test_documents() -> None:
    layout = layout_of([LAYER], SETTINGS)
    assert json.loads(layout.files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (named,) = json.loads(layout.files["index.json"])["manifests"]
    assert named["annotations"] == {"org.opencontainers.image.ref.name": "team/app-1.0"}
    assert named["digest"] == layout.digest

    manifest = _blob(layout, named)
    assert manifest["annotations"] == {"n": "2"}
    assert manifest["layers"] == [{"mediaType": "type/x", "digest": LAYER.info.digest, "size": 7}]
    assert _blob(layout, manifest["config"]) == {
        "created": "1970-01-01T00:00:00Z",
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": ["/bin/app", "-v"],
            "Env": ["A=b"],
            "WorkingDir": "/",
            "Labels": {"l": "1"},
        },
        "rootfs": {"type": "layers", "diff_ids": [LAYER.info.diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "C library"}],
    }
    assert len(layout.files) == 4


def test_the_order_of_labels_does_not_matter() -> None:
    one = replace(SETTINGS, labels={"a": "1", "b": "2"})
    other = replace(SETTINGS, labels={"b": "2", "a": "1"})
    assert layout_of([LAYER], one) == layout_of([LAYER], other)


@pytest.mark.parametrize("name", ["latest", "app:v1.2", "registry.example/team/app--x@y"])
def test_names(name: str) -> None:
    report = Report()
    check_settings(replace(SETTINGS, ref_name=name), report)
    assert not report.errors
    assert not report.warnings


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ref_name": ""}, "'' is no name of an image"),
        ({"ref_name": "-x"}, "'-x' is no name of an image"),
        ({"ref_name": "a//b"}, "'a//b' is no name of an image"),
        ({"ref_name": "a b"}, "'a b' is no name of an image"),
        ({"cwd": "run"}, "must be absolute"),
        ({"env": ("A",)}, "must be written as NAME=value"),
        ({"env": ("A=1", "A=2")}, "is set twice"),
    ],
)
def test_refused(changed: dict[str, Any], message: str) -> None:
    report = Report()
    check_settings(replace(SETTINGS, **changed), report)
    (problem,) = report.errors
    assert problem.code == "oci"
    assert message in problem.message


def test_no_entry_point() -> None:
    report = Report()
    check_settings(ImageSettings(), report)
    assert [problem.message for problem in report.warnings] == ["the image has no entry point"]


def test_zstd_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report()
    check_compression("zstd", report)
    assert not report.errors

    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "zstandard", None)
    check_compression("gzip", report)
    assert not report.errors
    check_compression("zstd", report)
    (problem,) = report.errors
    assert problem.message == "layers of zstd need the Python package zstandard"
