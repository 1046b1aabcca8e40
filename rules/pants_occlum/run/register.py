"""The run family: programs of images, run and tested without SGX."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.run.goals import run, test
from pants_occlum.run.target_types import OcclumImageTest


def target_types() -> list[type[Target]]:
    return [OcclumImageTest]


def rules() -> Iterable[Rule | UnionRule]:
    return [one for module in (run, test) for one in module.rules()]
