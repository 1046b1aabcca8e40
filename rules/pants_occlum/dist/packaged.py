"""What `package` made of one target."""

from __future__ import annotations

from dataclasses import dataclass

from pants.core.goals.package import BuiltPackage


@dataclass(frozen=True)
class Packaged:
    """As BuiltPackage, of which every kind of package of any backend is a rule to be chosen."""

    package: BuiltPackage
