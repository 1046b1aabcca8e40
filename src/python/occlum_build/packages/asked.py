"""What a user asks for: `name`, `name (>= 1)`, `name=version`, `name/suite`."""

from __future__ import annotations

import re
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.packages.relations import Relation, groups_of
from occlum_build.shown import quoted

# Debian Policy 5.6.7 and 5.6.12; archives have had names of one character and in capitals.
_NAME = r"[A-Za-z0-9][A-Za-z0-9+.-]*"
_EXACT = re.compile(rf"({_NAME})=([A-Za-z0-9.+:~-]+)")
_OF_SUITE = re.compile(rf"({_NAME})/([^\s/]\S*)")
_FORMS = "write `name`, `name (>= 1.2)`, `name=1.2-3` or `name/suite`"


class Asked(NamedTuple):
    """A package that is asked for: which versions would do, and in which suite, "" for any."""

    text: str
    relation: Relation
    suite: str = ""


def asked_of(text: str, architecture: str, field: str = "packages") -> Asked:
    """Parse one; raises OcclumError `packages-request`."""
    stripped = text.strip()
    if match := _EXACT.fullmatch(stripped):
        return Asked(stripped, Relation(match[1], "=", match[2]))
    if match := _OF_SUITE.fullmatch(stripped):
        return Asked(stripped, Relation(match[1]), match[2])
    try:
        groups = groups_of(stripped, architecture)
    except OcclumError:
        groups = ()
    if len(groups) == len(groups[:1]) == 1 and len(groups[0]) == 1:
        relation = groups[0][0]
        if re.fullmatch(_NAME, relation.name) and not relation.qualifier:
            return Asked(stripped, relation)
    raise OcclumError("packages-request", f"{field!r}: {quoted(text)} is no package", hint=_FORMS)


def name_of(text: str, field: str) -> str:
    """A name alone; raises OcclumError `packages-request`."""
    if re.fullmatch(_NAME, text.strip()):
        return text.strip()
    message = f"{field!r}: {quoted(text)} is no name of a package"
    raise OcclumError("packages-request", message, hint="here it is a name alone")
