"""The container family: bundles for rune and runc, and OCI images."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.oci import bundle, image, layers, rootfs
from pants_occlum.oci.goals import package_bundle, package_image, publish
from pants_occlum.oci.target_types import OciImage, RuneBundle


def target_types() -> list[type[Target]]:
    return [RuneBundle, OciImage]


def rules() -> Iterable[Rule | UnionRule]:
    modules = (
        bundle,
        image,
        layers,
        rootfs,
        package_bundle,
        package_image,
        publish,
    )
    return [one for module in modules for one in module.rules()]
