"""The BOM family: what BOMs say, and the files and facts that they lead to."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.bom import (
    cycles,
    facts,
    inference,
    knowledge,
    loading,
    on_disk,
    ownership,
    project_sources,
    roots,
)
from pants_occlum.bom.goals import lint, tailor
from pants_occlum.bom.target_types import OcclumBom, OcclumFiles, OcclumWheels


def target_types() -> list[type[Target]]:
    return [OcclumBom, OcclumFiles, OcclumWheels]


def rules() -> Iterable[Rule | UnionRule]:
    modules = (
        cycles,
        facts,
        inference,
        knowledge,
        loading,
        on_disk,
        ownership,
        project_sources,
        roots,
        lint,
        tailor,
    )
    return [one for module in modules for one in module.rules()]
