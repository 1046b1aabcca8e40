"""What a resolver tells of packages that there are not, or of which it cannot choose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from occlum_build.errors import Problem
from occlum_build.packages.asked import Asked
from occlum_build.packages.package import Package
from occlum_build.packages.relations import Relation
from occlum_build.packages.universe import Universe
from occlum_build.shown import listed, some

_MOST_SHOWN = 20  # of providers


class Chain(NamedTuple):
    """What needed what: a package and the next ones, how many are left out, what was asked for."""

    names: Sequence[str]
    left_out: int
    asked: str

    def __str__(self) -> str:
        """`bar <- redis-server (requested)`."""
        more = [f"({self.left_out:,} more)"] if self.left_out else []
        last = [] if self.asked in self.names else [self.asked]
        return " <- ".join([*self.names, *more, *last]) + " (requested)"


def unmet(
    universe: Universe, group: Sequence[Relation], chain: Chain, chosen: Mapping[str, Package]
) -> Problem:
    """The problem of a group of which no alternative can be had."""
    text = " | ".join(map(str, group))
    names = dict.fromkeys(relation.name for relation in group)
    others = [chosen[name] for name in names if name in chosen]
    if others:
        there = listed([f"{one.name} {one.version}" for one in others])
        message = f"{text}, needed by {chain}, is not met by {there}, which is chosen"
        hint = "ask for a version of it in 'packages' that suits all"
        return Problem("packages-unmet", message, hint=hint)
    there = _there(universe, list(names))
    message = f"{text}, needed by {chain}, is in no suite of {_archives(universe)}"
    return Problem("packages-unmet", message + there, hint=_hint(universe, list(names)))


def no_such(universe: Universe, asked: Asked) -> Problem:
    """The problem of something asked for that there is not."""
    name = asked.relation.name
    where = f"suite {asked.suite}" if asked.suite else "suite"
    message = f"{asked.text} (requested) is in no {where} of {_archives(universe)}"
    hint = _hint(universe, [name]) or "look for another name, or add a suite or a component"
    if not universe.all(name) and (near := universe.near(name)):
        hint = f"did you mean {' or '.join(near)}?"
    return Problem("packages-unmet", message + _there(universe, [name]), hint=hint)


def ambiguous(group: Sequence[Relation], found: Sequence[Package], chain: Chain | None) -> Problem:
    """The problem of several providers that nothing tells apart."""
    names = some([one.name for one in found], _MOST_SHOWN)
    provided = {name for name, _ in found[0].provided}
    relation = next(one for one in group if one.name in provided)
    who = f", needed by {chain}," if chain else " (requested)"
    message = f"{relation}{who} is provided by {names}: name one in 'packages'"
    return Problem("packages-choice", message)


def _archives(universe: Universe) -> str:
    names = list(dict.fromkeys(one.archive for one in universe.suites))
    return some(names, 5) if names else "no archive"


def _there(universe: Universe, names: Sequence[str]) -> str:
    """The versions that there are, in parentheses."""
    found = []
    for name in names:
        newest = universe.newest(name)
        if newest is not None:
            found.append(newest.version if len(names) == 1 else f"{name} {newest.version}")
    return f" (there is {listed(found)})" if found else ""


def _hint(universe: Universe, names: Sequence[str]) -> str:
    for name in names:
        if withheld := universe.withheld(name):
            return f"{some(withheld)} has {name}, but not in its 'only'"
        for one in universe.all(name):
            if not universe.is_automatic(one):
                return f"{one.suite} has {one.version}: ask for {name}/{one.suite}"
    return ""
