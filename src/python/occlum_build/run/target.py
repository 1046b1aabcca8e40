"""Which directory is meant by what a user names: an image, a manifest, an instance."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import STATE_BYTES
from occlum_build.files.reading import read_start

CODE = "run"
_CONFIG, _IMAGE, _MANIFEST = "Occlum.json", "image", "manifest.json"
_SEALED = "build/mount/__ROOT"
_START = b'{"entries":['


@dataclass(frozen=True)
class RunTarget:
    """`image` is the root file system; `config` the Occlum.json that goes with it, if one does.

    Sources of mounts are relative to `folder`.
    """

    image: Path
    config: Path | None
    folder: Path


def find_target(path: Path) -> RunTarget:
    """What to run of a directory or a manifest. Raises OcclumError `run`."""
    if path.is_dir():
        if path.samefile("/"):
            hint = "name an image's directory, manifest.json or instance"
            raise OcclumError(CODE, f"{path} is the root of this machine, no image", hint=hint)
        if (path / _CONFIG).is_file():
            return _instance(path)
        if (path / _MANIFEST).is_file() and (path / _IMAGE).is_dir():
            return RunTarget(path / _IMAGE, None, Path.cwd())
        return RunTarget(path, None, Path.cwd())
    if not os.path.lexists(path):
        text = f"there is no {path}"
        raise OcclumError(CODE, text, hint="name an image's directory, manifest.json or instance")
    # An archive is of any size: only its start is looked at.
    if not read_start(path, min(STATE_BYTES, len(_START)), code=CODE).startswith(_START):
        text = "it is neither a directory nor the manifest of an image"
        raise OcclumError(CODE, text, place=Place(str(path)), hint="unpack an archive first")
    image = path.parent / _IMAGE
    if not image.is_dir():
        raise OcclumError(
            CODE,
            f"the image of this manifest is not beside it, in {image}",
            place=Place(str(path)),
            hint='package the `occlum_image` with `formats=["dir"]`, or name its directory',
        )
    return RunTarget(image, None, Path.cwd())


def _instance(path: Path) -> RunTarget:
    config, image = path / _CONFIG, path / _IMAGE
    if image.is_dir():
        return RunTarget(image, config, path)
    hint = f"name the image's directory, and this configuration: `--config {config}`"
    if (path / _SEALED).exists():
        hint = (
            f"unpack what it has, `occlum-build sefs unzip {path / _SEALED} DIR`, "
            f"and run DIR with `--config {config}`"
        )
    text = f"the instance {path} has no image/, only what was made of it"
    raise OcclumError(CODE, text, hint=hint)
