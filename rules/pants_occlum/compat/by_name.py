"""Rules that are called by name, as in current Pants: imports alone where Pants has that.

from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
"""

from __future__ import annotations

from pants_occlum.compat.versions import NATIVE

if NATIVE:
    from pants.engine.rules import (
        _uncacheable_rule,
        collect_rules,
        concurrently,
        goal_rule,
        implicitly,
        rule,
    )
else:
    from pants_occlum.compat.polyfill import (
        _uncacheable_rule,
        collect_rules,
        concurrently,
        goal_rule,
        implicitly,
        rule,
    )

__all__ = [
    "_uncacheable_rule",
    "collect_rules",
    "concurrently",
    "goal_rule",
    "implicitly",
    "rule",
]
