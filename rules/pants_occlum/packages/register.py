"""The packages family: archives, lock files of packages, and roots that are made of them."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.packages import contents, debs, locks, requests, root, sharing, site_mirrors
from pants_occlum.packages.goals import generate_lock
from pants_occlum.packages.target_types import OcclumArchive, OcclumPackages


def target_types() -> list[type[Target]]:
    return [OcclumArchive, OcclumPackages]


def rules() -> Iterable[Rule | UnionRule]:
    modules = (
        contents,
        debs,
        locks,
        requests,
        root,
        sharing,
        site_mirrors,
        generate_lock,
    )
    return [one for module in modules for one in module.rules()]
