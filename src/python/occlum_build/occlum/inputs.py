"""What a build is told, and what it reads before anything is built."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlum_build.checks.allowed import sort_out
from occlum_build.errors import WARNING, OcclumError, Place, Problem
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.files.prefix import PREFIX
from occlum_build.files.reading import read_file
from occlum_build.files.recovery import sweep
from occlum_build.files.source import Identity
from occlum_build.files.stages import has_stages
from occlum_build.occlum import entries as tree
from occlum_build.occlum import measurement
from occlum_build.occlum.configure import Settings, read_config
from occlum_build.occlum.findings import instance_findings, own_init
from occlum_build.occlum.initfs import ENCRYPTED, IMAGE_KEY, INTEGRITY_ONLY, build_initfs
from occlum_build.occlum.measurement import ImageIdentity
from occlum_build.occlum.own_keys import refuse_own_keys
from occlum_build.occlum.prebuilt import read_prebuilt
from occlum_build.occlum.seal import digest_of, manifest_of_tree
from occlum_build.occlum.signing import KeyFile, Signer, public_test_key
from occlum_build.occlum.toolchain import BUILD, Toolchain, find
from occlum_build.sefs.keys import UserKey, read_key_file
from occlum_build.sgx.config import Node, check

_INIT_RA_CONF = "init_ra_conf.json"
_OCCLUM_YAML = "Occlum.yaml"


@dataclass(frozen=True)
class BuildRequest:
    """What is to be built; without a signer, the 256 bytes to be signed instead of an enclave.

    `allowed`: as `parse_allowed` tells it; an error of such a code does not end the build.
    `update_expected`: write the file of `expected_measurement` in place of comparing with it.
    """

    instance: Path
    toolchain: Path
    settings: Settings
    signer: Signer | None = None
    image_key: Path | None = None
    buildin_image_key: bool = False
    insecure_key_file: bool = False
    force: bool = False
    expected_mrenclave: str = ""
    expected_measurement: Path | None = None
    update_expected: bool = False
    allowed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """`described` goes into measurement.json; `image_manifest` is None for a prebuilt image.

    `own_init`: the SHA-256 of the toolchain's init, "" where it has none. `image_files`: what the
    files of the image were when the manifest was made, by path. `found`: what is to be told, with
    errors that are allowed.
    """

    toolchain: Toolchain
    config: Node
    image: ImageIdentity
    image_manifest: dict[str, Any] | None
    described: dict[str, Any]
    own_init: str
    image_files: dict[bytes, Identity]
    found: tuple[Problem, ...]


def read_key(request: BuildRequest) -> UserKey | None:
    """The image key of a build, which reads its file here and nowhere else."""
    if request.image_key is None:
        return None
    return read_key_file(request.image_key, allow_insecure=request.insecure_key_file)


def read_inputs(request: BuildRequest, key: UserKey | None, initfs: Path) -> Inputs:
    """Read and hash everything; the initfs of the build is written to `initfs`.

    Raises all errors of the image that are not allowed, with what is to be told beside them.
    """
    instance = request.instance
    toolchain = find(request.toolchain, request.settings.sgx_mode, [BUILD])
    found = [*check_config_file(instance)]
    config = read_config([instance / "Occlum.json"])
    settings = request.settings
    checked = check(config, edmm=settings.is_for_edmm, strict=settings.strict)
    manifest: dict[str, Any] | None = None
    image_files: dict[bytes, Identity] = {}
    found += checked.warnings
    init = own_init(request.toolchain)
    if (instance / "image").is_dir():
        manifest = manifest_of_tree(instance / "image", image_files)
        if _has_swept(instance / "image", manifest):
            image_files.clear()
            manifest = manifest_of_tree(instance / "image", image_files)
        _refuse_keys(request, (instance / "image" / os.fsdecode(one) for one in image_files))
        image = _identity(manifest, key)
        found += instance_findings(instance, config, checked, init, strict=settings.strict)
        errors, told = sort_out(found, request.allowed)
        if errors:
            raise OcclumError.of(errors, told)
    else:
        image = read_prebuilt(instance / "build/mount", key)
    built_in = key.file_text() if key is not None and request.buildin_image_key else None
    _write_initfs(request, image.type, built_in, initfs)
    described = measurement.inputs_of_build(
        image, manifest_of_tree(initfs), config, toolchain, request.settings
    )
    return Inputs(toolchain, config, image, manifest, described, init, image_files, tuple(found))


def _has_swept(image: Path, manifest: Mapping[str, Any]) -> bool:
    """Was there anything in the image that a killed run had left?"""
    paths = (entry["path"] for entry in manifest["entries"] if PREFIX in entry["path"])
    folders = {path.partition(PREFIX)[0].strip("/") for path in paths}
    left = [image / folder for folder in sorted(folders) if has_stages(image / folder)]
    for folder in left:
        sweep(folder)
    return bool(left)


def check_config_file(instance: Path) -> tuple[Problem, ...]:
    """A warning where an Occlum.yaml stands beside the Occlum.json, an error where it is alone.

    It is what the next generation of Occlum reads, whose keys are others.
    """
    if not (instance / _OCCLUM_YAML).exists():
        return ()
    if (instance / "Occlum.json").exists():
        message = f"{_OCCLUM_YAML} is not read: the configuration of Occlum 0.31 is Occlum.json"
        place = Place(str(instance / _OCCLUM_YAML))
        return (Problem("config-yaml", message, place, severity=WARNING),)
    raise OcclumError(
        "config-yaml",
        "the configuration of Occlum 0.31 is Occlum.json; this file is read by another Occlum",
        place=Place(str(instance / _OCCLUM_YAML)),
        hint="write an Occlum.json (docs/occlum-json.md); `occlum-build new` makes a default one",
    )


def _identity(manifest: dict[str, Any], key: UserKey | None) -> ImageIdentity:
    digest = digest_of(manifest)
    if key is None:
        return ImageIdentity(INTEGRITY_ONLY, "", digest)
    return ImageIdentity(ENCRYPTED, "", digest, key.fingerprint())


def _refuse_keys(request: BuildRequest, files: Iterable[Path]) -> None:
    signer = request.signer.path if isinstance(request.signer, KeyFile) else None
    if signer == public_test_key(request.toolchain):
        signer = None  # everybody has it
    refuse_own_keys(files, {"image key": request.image_key, "signing key": signer})


def _write_initfs(
    request: BuildRequest, image_type: str, image_key: bytes | None, out: Path
) -> None:
    """A copy of the instance's initfs with what a build adds; the instance's own stays as it is."""
    conf = request.instance / _INIT_RA_CONF
    base = request.instance / "initfs"
    own = tree.scan(base)
    # A key of an earlier build is dropped.
    kept = [one.source for one in own if one.source is not None and one.path != IMAGE_KEY]
    _refuse_keys(request, kept)
    planned = build_initfs(
        own,
        image_type,
        init_ra_conf=read_file(conf, CONFIG_BYTES) if conf.exists() else None,
        image_key=image_key,
        where=str(base),
    )
    tree.write(planned, out)
