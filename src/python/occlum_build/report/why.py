"""Why something is in an image: which BOM line brings it, over which chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from occlum_build.errors import NOTE, OcclumError, Problem
from occlum_build.report.chains import Chain, Chains, place_key
from occlum_build.report.model import Item, KnownImage, without_graph
from occlum_build.report.queries import DIRECTORY, PACKAGE_PREFIX, Absent, absent, find
from occlum_build.shown import quoted

ABSENT = "absent"


@dataclass(frozen=True)
class Answer:
    """What a query was found as (`kind`, of report.queries, or ABSENT), and each path's chains.

    `below` tells of what is in a directory, by BOM line; `absent` of what is not there.
    """

    query: str
    kind: str
    chains: Mapping[str, Sequence[Chain]]
    below: Sequence[Group] = ()
    absent: Absent | None = None


@dataclass(frozen=True)
class Group:
    """Entries that one BOM line brings: how many by itself, how many as what those need."""

    bom: str
    named: int
    needed: int
    size: int


class Why:
    """Answers about one image: the shortest chain, or `every` one."""

    def __init__(self, image: KnownImage, *, every: bool = False) -> None:
        self.image, self._every = image, every
        self._chains = Chains(image)

    def notes(self) -> list[Problem]:
        """What is to be said about the answers so far."""
        found = []
        if self._chains.is_cut:
            message = "there are more chains than are told"
            found.append(Problem("graph", message, severity=NOTE))
        return [*found, *without_graph(self.image)]

    def answers(self, query: str) -> list[Answer]:
        """At least one; a name may be found as several things. OcclumError `usage` for no name."""
        if query in ("", PACKAGE_PREFIX):
            hint = "name a path, a file, a library or a package"
            raise OcclumError("usage", f"{quoted(query)} asks for nothing", hint=hint)
        found = find(self.image, query)
        if not found:
            return [Answer(query, ABSENT, {}, absent=absent(self.image, query))]
        return [
            Answer(
                query,
                one.kind,
                {path: self._chains_to(path) for path in one.paths},
                self._groups(one.paths[0]) if one.kind == DIRECTORY else (),
            )
            for one in found
        ]

    def _chains_to(self, path: str) -> list[Chain]:
        if self._every:
            return self._chains.every(path)
        chain = self._chains.shortest(path)
        return [chain] if chain is not None else []

    def _groups(self, directory: str) -> list[Group]:
        return groups(self.image.tree(directory), self._chains)


def groups(items: Iterable[Item], chains: Chains) -> list[Group]:
    """Entries but the root by the BOM line of their shortest chain, the largest first."""
    named: dict[str, int] = {}
    needed: dict[str, int] = {}
    size: dict[str, int] = {}
    for item in items:
        if item.path == "/":
            continue
        bom = chains.bom_of(item) if item.needed_by else item.bom
        counts = needed if item.needed_by else named
        counts[bom] = counts.get(bom, 0) + 1
        size[bom] = size.get(bom, 0) + item.size
    made = [Group(bom, named.get(bom, 0), needed.get(bom, 0), size[bom]) for bom in size]
    return sorted(made, key=lambda one: (-one.size, place_key(one.bom)))
