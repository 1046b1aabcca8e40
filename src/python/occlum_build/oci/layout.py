"""The documents of an OCI image layout: configuration, manifest, index (image specification 1.1).

Layers are made by occlum_build.oci.layer; here they are only named. docs/oci.md has the layout.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from occlum_build.errors import Report
from occlum_build.image.manifest import canonical_json
from occlum_build.oci.layer import ZSTD, LayerInfo
from occlum_build.oci.referrers import (
    MANIFEST_TYPE,
    Attached,
    descriptor_of,
    digest_of,
    referrers_of,
)
from occlum_build.oci.settings import check_variables

REF_NAME = "org.opencontainers.image.ref.name"
CREATED = "1970-01-01T00:00:00Z"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
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
    """Path in the layout -> content of the small files, and the digest that names the image.

    referrers: the descriptors of what is attached, by their types.
    """

    files: Mapping[str, bytes]
    digest: str
    referrers: tuple[Mapping[str, Any], ...] = ()


def blob_path(digest: str) -> str:
    """Where a layout keeps the blob of a digest."""
    return "blobs/" + digest.replace(":", "/", 1)


def layout_of(
    layers: Sequence[ImageLayer], settings: ImageSettings, attached: Iterable[Attached] = ()
) -> Layout:
    """The layout of an image but for its layers and attached files, which go to blob_path(digest).

    The image is the first in the index, and the only one that has a name; its digest is the same
    whatever is attached.
    """
    config = canonical_json(_config(layers, settings))
    manifest = canonical_json(_manifest(layers, settings, config))
    image = descriptor_of(MANIFEST_TYPE, manifest)
    named = {
        **image,
        "annotations": {REF_NAME: settings.ref_name},
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    referrers = referrers_of(image, attached)
    index = {"schemaVersion": 2, "manifests": [named, *referrers.descriptors]}
    return Layout(
        {
            "oci-layout": canonical_json({"imageLayoutVersion": "1.0.0"}),
            "index.json": canonical_json(index),
            blob_path(digest_of(config)): config,
            blob_path(image["digest"]): manifest,
            **{blob_path(digest): content for digest, content in referrers.blobs.items()},
        },
        image["digest"],
        referrers.descriptors,
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
        "mediaType": MANIFEST_TYPE,
        "config": descriptor_of(_CONFIG_TYPE, config),
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
