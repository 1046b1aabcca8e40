"""Relations between packages (Debian Policy, chapter 7): `a (>= 1) | b, c:any`.

What is said for another architecture or for a build profile does not count, as in apt.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.packages.stanzas import one_line
from occlum_build.sysroot.debian_version import DebianVersion

# `<` and `>` are old forms of `<=` and `>=`.
_OPERATORS = {"<": "<=", ">": ">="}
_RELATION = re.compile(
    r"(?P<name>[^\s:(\[<|,]+)"
    r"(?::(?P<qualifier>[^\s(\[<]+))?"
    r"\s*(?:\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s)<>=]+)\s*\))?"
    r"\s*(?:\[(?P<architectures>[^\]]*)\])?"
    r"\s*(?P<profiles>(?:<[^>]*>\s*)*)"
)
_PROFILES = re.compile(r"<([^>]*)>")


class Relation(NamedTuple):
    """One package that would do.

    operator: one of << <= = >= >>, or "" where any version is right. qualifier: of the
    architecture, `any` or one; "" where it has none.
    """

    name: str
    operator: str = ""
    version: str = ""
    qualifier: str = ""

    def __str__(self) -> str:
        qualifier = f":{self.qualifier}" if self.qualifier else ""
        version = f" ({self.operator} {self.version})" if self.operator else ""
        return f"{self.name}{qualifier}{version}"

    def accepts(self, version: str) -> bool:
        """Whether a package of that version is right."""
        if not self.operator:
            return True
        found, wanted = DebianVersion(version), DebianVersion(self.version)
        if self.operator == "=":
            return found == wanted
        if self.operator in ("<<", "<="):
            return found < wanted or (self.operator == "<=" and found == wanted)
        return found > wanted or (self.operator == ">=" and found == wanted)


def groups_of(text: str, architecture: str) -> tuple[tuple[Relation, ...], ...]:
    """What a field such as Depends asks for: one of each group.

    Raises OcclumError `package-relation` for what is none.
    """
    groups = []
    for part in one_line(text).split(","):
        if not part.strip():
            continue  # a comma at the end, as some write it
        found = (_relation(one.strip(), architecture) for one in part.split("|"))
        group = tuple(relation for relation in found if relation is not None)
        if group:
            groups.append(group)
    return tuple(groups)


def _relation(text: str, architecture: str) -> Relation | None:
    """None for what does not count here."""
    match = _RELATION.fullmatch(text)
    if match is None:
        raise OcclumError("package-relation", f"{text} is no relation between packages")
    if not _is_meant(match["architectures"], architecture):
        return None
    # All restrictions in one <...> must hold, and one <...> of several. No profile is active.
    profiles = _PROFILES.findall(match["profiles"])
    if profiles and not any(all(one.startswith("!") for one in p.split()) for p in profiles):
        return None
    operator = match["operator"] or ""
    return Relation(
        match["name"],
        _OPERATORS.get(operator, operator),
        match["version"] or "",
        match["qualifier"] or "",
    )


def _is_meant(architectures: str | None, architecture: str) -> bool:
    listed = (architectures or "").split()
    if not listed:
        return True
    kinds = {architecture, "any", "linux-any", f"any-{architecture}"}
    if listed[0].startswith("!"):
        return not any(one[1:] in kinds for one in listed)
    return any(one in kinds for one in listed)
