"""gen-conf as pure functions: an Occlum.json -> Enclave.xml and the system config."""

from __future__ import annotations

import re

from occlum_build.errors import OcclumError
from occlum_build.sgx.config.findings import Findings, shown
from occlum_build.sgx.config.jsontext import Node
from occlum_build.sgx.config.later import warn_of_later
from occlum_build.sgx.config.later_mounts import warn_of_mounts
from occlum_build.sgx.config.limits import enclave_settings
from occlum_build.sgx.config.model import CheckedConfig, GeneratedConfig
from occlum_build.sgx.config.mounts import check_mounts, image_layer
from occlum_build.sgx.config.schema import read_config
from occlum_build.sgx.config.sysjson import sys_json
from occlum_build.sgx.config.xml import enclave_xml

_MAC = re.compile(r"[0-9a-f]{2}(?:-[0-9a-f]{2}){15}", re.ASCII)


def check(document: Node, *, edmm: bool = False, strict: bool = False) -> CheckedConfig:
    """Read a configuration (from parse_json or merge) and find all its mistakes.

    edmm: the platform has EDMM; the file can ask for it too. strict: warnings are errors.
    Raises one OcclumError with every mistake, its place and JSON path.
    """
    findings = Findings(document, strict=strict)
    config = read_config(document, findings)
    settings = enclave_settings(config, edmm, findings)
    check_mounts(config.mount, settings.heap.maximum, findings)
    image = image_layer(config.mount, findings)
    warn_of_later(config, settings, findings)
    warn_of_mounts(config.mount, image, findings)
    return CheckedConfig(config, settings, image, findings.finish())


def generate(
    config: Node, image_mac: str, initfs_mac: str, edmm: bool = False, *, strict: bool = False
) -> GeneratedConfig:
    """Check a configuration and make both files of it.

    The MACs are those of the image's and the initfs's secure file systems: 16 bytes as two
    lower-case hexadecimal digits each, joined by "-". Raises as `check` does, and config-mac.
    """
    for name, mac in (("image", image_mac), ("initfs", initfs_mac)):
        if not _MAC.fullmatch(mac):
            raise OcclumError(
                "config-mac",
                f"the MAC of the {name} is {shown(mac)}",
                hint='16 bytes of two lower-case hexadecimal digits, joined by "-"',
            )
    checked = check(config, edmm=edmm, strict=strict)
    return GeneratedConfig(
        enclave_xml=enclave_xml(checked.settings),
        sys_json=sys_json(checked, image_mac, initfs_mac),
        warnings=checked.warnings,
    )
