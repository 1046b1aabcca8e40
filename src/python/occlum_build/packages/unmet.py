"""What a resolver tells of packages that there are not, or of which it cannot choose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from occlum_build.errors import Problem
from occlum_build.packages.asked import Asked
from occlum_build.packages.package import Package
from occlum_build.packages.relations import Relation
from occlum_build.packages.universe import Universe
from occlum_build.shown import listed, some

Chain = Sequence[str]  # a package, what needed it, ..., what was asked for
_MOST_SHOWN = 8


def shown_needs(chain: Chain) -> str:
    """`bar <- redis-server (requested)`; of a long chain its begin and its end."""
    names = list(chain)
    if len(names) > _MOST_SHOWN:
        left_out = len(names) - _MOST_SHOWN
        names[_MOST_SHOWN // 2 : -_MOST_SHOWN // 2] = [f"({left_out:,} more)"]
    return " <- ".join(names) + " (requested)"


def unmet(
    universe: Universe, group: Sequence[Relation], chain: Chain, chosen: Mapping[str, Package]
) -> Problem:
    """The problem of a group of which no alternative can be had."""
    text = " | ".join(map(str, group))
    names = dict.fromkeys(relation.name for relation in group)
    others = [chosen[name] for name in names if name in chosen]
    if others:
        there = listed([f"{one.name} {one.version}" for one in others])
        message = f"{text}, needed by {shown_needs(chain)}, is not met by {there}, which is chosen"
        hint = "ask for a version of it in 'packages' that suits all"
        return Problem("packages-unmet", message, hint=hint)
    there = _there(universe, list(names))
    message = f"{text}, needed by {shown_needs(chain)}, is in no suite of {_archives(universe)}"
    return Problem("packages-unmet", message + there, hint=_hint(universe, list(names)))


def no_such(universe: Universe, asked: Asked) -> Problem:
    """The problem of something asked for that there is not."""
    name = asked.relation.name
    where = f"suite {asked.suite}" if asked.suite else "suite"
    message = f"{asked.text} (requested) is in no {where} of {_archives(universe)}"
    hint = _hint(universe, [name]) or "look for another name, or add a suite or a component"
    return Problem("packages-unmet", message + _there(universe, [name]), hint=hint)


def ambiguous(group: Sequence[Relation], found: Sequence[Package], chain: Chain) -> Problem:
    """The problem of several providers that nothing tells apart."""
    names = [one.name for one in found]
    provided = {name for one in found for name, _ in one.provided}
    relation = next(one for one in group if one.name in provided)
    who = f", needed by {shown_needs(chain)}," if chain else " (requested)"
    message = f"{relation}{who} is provided by {', '.join(names)}: name one in 'packages'"
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
        automatic = {(one.archive, one.name) for one in universe.suites if one.automatic}
        for one in universe.all(name):
            if (one.archive, one.suite) not in automatic and one.archive:
                return f"{one.suite} has {one.version}: ask for {name}/{one.suite}"
    return ""
