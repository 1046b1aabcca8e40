"""The image family: plans, layers, manifests, archives."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.image import blobs, host_packages, nodes, planning, sbom, tar
from pants_occlum.image.goals import generate_lock, package, tailor
from pants_occlum.image.target_types import OcclumImage


def target_types() -> list[type[Target]]:
    return [OcclumImage]


def rules() -> Iterable[Rule | UnionRule]:
    modules = (
        blobs,
        host_packages,
        nodes,
        planning,
        sbom,
        tar,
        generate_lock,
        package,
        tailor,
    )
    return [one for module in modules for one in module.rules()]
