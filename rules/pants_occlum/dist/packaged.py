"""What `package` made of one target."""

from __future__ import annotations

from dataclasses import dataclass

from pants.core.goals.package import BuiltPackage


@dataclass(frozen=True)
class Packaged:
    """As BuiltPackage, of which every kind of package of any backend is a rule to be chosen.

    `lacks` is what to do where its digest has not the thing itself, but what it `gives`.
    """

    package: BuiltPackage
    gives: str = ""
    lacks: str = ""
