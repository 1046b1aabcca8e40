"""The versions of Pants that run this plugin, and the way that its rules are called by name there.

docs/pants-versions.md says why each version takes its way, and what was checked.
"""

from __future__ import annotations

import enum
from typing import Final

from packaging.version import Version  # pants: no-infer-dep
from pants.base.exceptions import BackendConfigurationError
from pants.version import PANTS_SEMVER

OLDEST: Final = (2, 17)
# What is true since which version; docs/pants-versions.md says why. Pants' own rules have the names
# that we call them by since 2.23; `Get` is gone since 2.32.
SINCE: Final = {
    "ONE_OWNING_FIELD": (2, 18),
    "TESTS_REPEATED": (2, 19),
    "NATIVE": (2, 23),
    "ENVIRONMENTS_MOVED": (2, 28),
}


class UnsupportedPants(BackendConfigurationError):
    """This plugin does not run on the Pants that loads it."""


class Way(enum.Enum):
    """polyfill: this package makes `Get`s of calls by name. native: Pants has calls by name."""

    polyfill = "polyfill"
    native = "native"


def way_of(version: Version) -> Way:
    """The way that a version of Pants takes. Raises UnsupportedPants."""
    minor = version.major, version.minor
    if minor < OLDEST:
        raise UnsupportedPants(
            f"pants_occlum does not run on Pants {version}, but on {OLDEST[0]}.{OLDEST[1]} and "
            "newer. Raise `pants_version` in pants.toml, or take `pants_occlum` out of "
            "`backend_packages`."
        )
    return Way.native if minor >= SINCE["NATIVE"] else Way.polyfill


# mypy takes one side of each `if` of these: see `always_false` in pyproject.toml.
NATIVE = way_of(PANTS_SEMVER) is Way.native
ONE_OWNING_FIELD = (PANTS_SEMVER.major, PANTS_SEMVER.minor) >= SINCE["ONE_OWNING_FIELD"]
TESTS_REPEATED = (PANTS_SEMVER.major, PANTS_SEMVER.minor) >= SINCE["TESTS_REPEATED"]
ENVIRONMENTS_MOVED = (PANTS_SEMVER.major, PANTS_SEMVER.minor) >= SINCE["ENVIRONMENTS_MOVED"]
