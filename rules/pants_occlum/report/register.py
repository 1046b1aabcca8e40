"""The report family: goals that answer questions about images."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.rules import Rule
from pants.engine.target import Target
from pants.engine.unions import UnionRule

from pants_occlum.report.goals import diff, size, why


def target_types() -> list[type[Target]]:
    return []


def rules() -> Iterable[Rule | UnionRule]:
    return [*why.rules(), *diff.rules(), *size.rules()]
