"""The documents of an OCI image layout: configuration, manifest, index (image specification 1.0).

Layers are made by occlum_build.oci.layer; here they are only named. docs/oci.md has the layout.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from occlum_build.errors import Report
from occlum_build.image.manifest import canonical_json
from occlum_build.oci.layer import ZSTD, LayerInfo
from occlum_build.oci.settings import check_variables

REF_NAME = "org.opencontainers.image.ref.name"
CREATED = "1970-01-01T00:00:00Z"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
# The grammar of the image specification for REF_NAME.
_WORD = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
_REF_NAME = re.compile(rf"{_WORD}(?:/{_WORD})*")
_CODE = "oci"


@dataclass(frozen=True)
class ImageLayer:
    """A layer, and a name for what is in it."""

    name: str
    info: LayerInfo


@dataclass(frozen=True)
class ImageSettings:
    """How a container of the image is started, and what the image says of itself.

    env: `NAME=value`. labels go to the configuration, annotations to the manifest.
    """

    entry_point: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    ref_name: str = "latest"


@dataclass(frozen=True)
class Layout:
    """Path in the layout -> content of the small files, and the digest that names the image."""

    files: Mapping[str, bytes]
    digest: str


def blob_path(digest: str) -> str:
    """Where a layout keeps the blob of a digest."""
    return "blobs/" + digest.replace(":", "/", 1)


def layout_of(layers: Sequence[ImageLayer], settings: ImageSettings) -> Layout:
    """The layout of an image but for its layers, which go to blob_path(digest)."""
    config = canonical_json(_config(layers, settings))
    manifest = canonical_json(_manifest(layers, settings, config))
    named = {
        **_descriptor(_MANIFEST_TYPE, manifest),
        "annotations": {REF_NAME: settings.ref_name},
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    index = {"schemaVersion": 2, "manifests": [named]}
    return Layout(
        {
            "oci-layout": canonical_json({"imageLayoutVersion": "1.0.0"}),
            "index.json": canonical_json(index),
            blob_path(_digest(config)): config,
            blob_path(_digest(manifest)): manifest,
        },
        _digest(manifest),
    )


def check_compression(compression: str, report: Report) -> None:
    """What layers of that compression need; problems have the code `oci`."""
    if compression == ZSTD and importlib.util.find_spec("zstandard") is None:
        report.error(
            _CODE,
            "layers of zstd need the Python package zstandard",
            hint="add it to [GLOBAL].plugins, with the version in 3rdparty/python/library.in",
        )


def check_settings(settings: ImageSettings, report: Report) -> None:
    """What tools refuse or misread; problems have the code `oci`."""
    if not _REF_NAME.fullmatch(settings.ref_name):
        report.error(_CODE, f"{settings.ref_name!r} is no name of an image in a layout")
    if not settings.cwd.startswith("/"):
        report.error(_CODE, f"the working directory {settings.cwd} must be absolute")
    if not settings.entry_point and not settings.cmd:
        report.warn(_CODE, "the image has no entry point", hint="name one with `entry_point`")
    check_variables(settings.env, _CODE, report)


def _config(layers: Sequence[ImageLayer], settings: ImageSettings) -> dict[str, Any]:
    run = {
        "Entrypoint": list(settings.entry_point),
        "Cmd": list(settings.cmd),
        "Env": list(settings.env),
        "WorkingDir": settings.cwd,
        "Labels": dict(settings.labels),
    }
    return {
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": {name: value for name, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer.info.diff_id for layer in layers]},
        "history": [{"created": CREATED, "created_by": layer.name} for layer in layers],
    }


def _manifest(
    layers: Sequence[ImageLayer], settings: ImageSettings, config: bytes
) -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": _descriptor(_CONFIG_TYPE, config),
        "layers": [
            {
                "mediaType": layer.info.media_type,
                "digest": layer.info.digest,
                "size": layer.info.size,
            }
            for layer in layers
        ],
    }
    if settings.annotations:
        manifest["annotations"] = dict(settings.annotations)
    return manifest


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(content), "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
