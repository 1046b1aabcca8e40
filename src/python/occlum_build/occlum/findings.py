"""What is to be told of an instance whose image lies in `image/`: libOS and image together."""

from __future__ import annotations

import hashlib
from pathlib import Path

from occlum_build.checks.enclave import check_enclave
from occlum_build.checks.root import Root
from occlum_build.errors import WARNING, OcclumError, Problem
from occlum_build.files.bounds import ENCLAVE_BYTES
from occlum_build.files.reading import chunks_of, read_file
from occlum_build.occlum.configure import config_keys, read_config
from occlum_build.occlum.earlier import read_earlier
from occlum_build.occlum.measurement import security_warnings
from occlum_build.occlum.toolchain import INIT, ToolchainDirectory
from occlum_build.sgx.config import CheckedConfig, Node, check

_INIT = "initfs/bin/init"


def own_init(toolchain: Path) -> str:
    """The hex SHA-256 of Occlum's init in a toolchain, "" where it has none."""
    try:
        path = ToolchainDirectory(toolchain).file(INIT)
    except OcclumError:  # nothing is made of it: the instance has an init of its own
        return ""
    return "" if path is None else hashlib.sha256(read_file(path, ENCLAVE_BYTES)).hexdigest()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in chunks_of(path):
        digest.update(chunk)
    return digest.hexdigest()


def instance_findings(
    instance: Path, document: Node, checked: CheckedConfig, init: str, *, strict: bool = False
) -> list[Problem]:
    """What the libOS would refuse of the instance's image; `init`: as `own_init` tells it."""
    path = instance / _INIT
    has_own = path.is_file() and _sha256(path) == init
    root = Root.of_directory(str(instance / "image"))
    return check_enclave(root, document, checked.config, mounts_image=has_own, strict=strict)


def package_findings(instance: Path) -> list[Problem]:
    """What was told when the instance was built, once more; warnings, as it has been built.

    But for what only a toolchain tells: whether the init is Occlum's own, and so whether the image
    key can be got, and a test key that is not the public one.
    """
    earlier = read_earlier(instance, with_manifest=False)
    measured = earlier.record
    found = [Problem("measurement", one, severity=WARNING) for one in earlier.unreadable]
    found += security_warnings(measured) if measured is not None else []
    if not (instance / "image").is_dir():
        return found
    edmm = measured is not None and measured["inputs"].get("settings", {}).get("edmm") is True
    try:
        document = read_config([instance / "Occlum.json"])
        if measured is not None and measured["inputs"].get("config") != config_keys(document):
            return found  # it was changed since, and is not what was built
        checked = check(document, edmm=edmm)
        return [*checked.warnings, *instance_findings(instance, document, checked, ""), *found]
    except OcclumError:  # it was changed since
        return found
