"""The wheels family: Python distributions as files of images. The target is one of BOMs."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.wheels import fetched, installed, requests


def target_types() -> list[type[Target]]:
    return []


def rules() -> Iterable[Rule | UnionRule]:
    return [one for module in (fetched, installed, requests) for one in module.rules()]
