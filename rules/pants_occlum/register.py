"""The Pants backend `pants_occlum`: images for Occlum enclaves."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum import (
    bom_roots,
    boms_on_disk,
    boot_types,
    dependency_inference,
    enclave,
    enclave_keys,
    enclave_signing,
    enclave_types,
    facts,
    image,
    knowledge,
    loading,
    occlum_builder,
    oci,
    oci_bundle,
    oci_layers,
    oci_rootfs,
    oci_types,
    ownership,
    pins,
    planning,
    project_sources,
    runtime_boot,
    sysroots,
    tar,
    toolchain,
)
from pants_occlum import target_types as types
from pants_occlum.goals import (
    generate_lock,
    lint,
    package_bundle,
    package_enclave,
    package_image,
    package_oci,
    package_rootfs,
    publish_oci,
    tailor,
)
from pants_occlum.util_rules import dist_sync, loaded_sources, sysroot, tool_process


def target_types() -> list[type[Target]]:
    return [
        one
        for module in (types, enclave_types, boot_types, oci_types)
        for one in module.target_types()
    ]


def rules() -> Iterable[Rule | UnionRule]:
    # Pants asks for the rules at the start of each run, also of one in a pantsd that has them.
    loaded_sources.LOADED.start_run()
    modules = (
        bom_roots,
        boms_on_disk,
        dependency_inference,
        dist_sync,
        enclave,
        enclave_keys,
        enclave_signing,
        facts,
        generate_lock,
        image,
        knowledge,
        lint,
        occlum_builder,
        oci,
        oci_bundle,
        oci_layers,
        oci_rootfs,
        ownership,
        package_bundle,
        package_enclave,
        package_image,
        package_oci,
        package_rootfs,
        pins,
        loading,
        planning,
        project_sources,
        publish_oci,
        runtime_boot,
        sysroot,
        sysroots,
        tailor,
        tar,
        tool_process,
        toolchain,
    )
    return [one for module in modules for one in module.rules()]
