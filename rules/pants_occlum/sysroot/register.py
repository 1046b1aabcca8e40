"""The sysroot family: the host's files, or others that stand for them, and their pins."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.sysroot import doubt, host, own_keys, pins, sysroots
from pants_occlum.sysroot.target_types import OcclumSysroot


def target_types() -> list[type[Target]]:
    return [OcclumSysroot]


def rules() -> Iterable[Rule | UnionRule]:
    modules = (
        doubt,
        host,
        own_keys,
        pins,
        sysroots,
    )
    return [one for module in modules for one in module.rules()]
