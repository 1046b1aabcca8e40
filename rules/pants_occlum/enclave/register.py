"""The enclave family: secure file systems, measurement, signature, instance, runtime boot."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.enclave import (
    checked,
    instance,
    keys,
    nodes,
    occlum_builder,
    rootfs,
    sealing,
    signing,
    steps,
    toolchain,
)
from pants_occlum.enclave.boot_types import OcclumRootfs
from pants_occlum.enclave.goals import expect, package, package_rootfs
from pants_occlum.enclave.target_types import OcclumEnclave
from pants_occlum.enclave.toolchain_types import OcclumToolchain


def target_types() -> list[type[Target]]:
    return [OcclumToolchain, OcclumEnclave, OcclumRootfs]


def rules() -> Iterable[Rule | UnionRule]:
    modules = (
        checked,
        instance,
        keys,
        nodes,
        occlum_builder,
        rootfs,
        sealing,
        signing,
        steps,
        toolchain,
        expect,
        package,
        package_rootfs,
    )
    return [one for module in modules for one in module.rules()]
