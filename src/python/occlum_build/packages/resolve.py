"""Which packages a root has: deterministic, with apt's answers, and nothing taken back.

What was asked for is chosen first. Then depth first, Pre-Depends before Depends: a group that
something chosen satisfies is done, else its first alternative that there is comes along, a real
package before what provides it. Providers that nothing tells apart are an error that lists them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from occlum_build.errors import MOST_TOLD, OcclumError, Problem, Report
from occlum_build.packages.asked import Asked, asked_of, name_of
from occlum_build.packages.conflicts import conflicts_of
from occlum_build.packages.package import Package
from occlum_build.packages.relations import Relation
from occlum_build.packages.universe import Universe
from occlum_build.packages.unmet import Chain, ambiguous, no_such, unmet

# It keeps init-system-helpers from bringing usrmerge along, which is Perl.
USR_IS_MERGED = "usr-is-merged"
_HARD, _SOFT = ("Pre-Depends", "Depends"), ("Recommends",)
_MOST_SHOWN = 6  # of a chain
_NAME_OF = attrgetter("name")
Group = Sequence[Relation]


@dataclass(frozen=True)
class Wish:
    """What a root is made of; the fields are those of config.PackagesRequest."""

    packages: Sequence[str]
    without: Sequence[str] = ()
    essential: bool = False
    recommends: bool = False
    merged_usr: bool = True


class Solution(NamedTuple):
    """The packages, by their names in order, and what needed each, None where it was asked for."""

    packages: dict[str, Package]
    needed_by: dict[str, str]


def resolve(universe: Universe, wish: Wish) -> Solution:
    """Choose the packages. Raises OcclumError with all that is wrong.

    `packages-request`, `packages-unmet`, `packages-choice`, `packages-conflict`.
    """
    run = _Run(universe, wish)
    run.take_asked()
    run.report.raise_errors()
    run.follow()
    run.report.raise_errors()
    for problem in islice(conflicts_of(run.chosen, run.chain), MOST_TOLD):
        run.report.add(problem)
    run.report.raise_errors()
    return Solution(dict(sorted(run.chosen.items())), run.needed_by)


class _Frame(NamedTuple):
    """A package whose groups are being looked at."""

    name: str
    groups: Iterator[tuple[bool, Group]]


@dataclass
class _Run:
    universe: Universe
    wish: Wish
    report: Report = field(default_factory=Report)
    chosen: dict[str, Package] = field(default_factory=dict)
    needed_by: dict[str, str] = field(default_factory=dict)
    # Of each package how many there are from it to what was asked for, and that.
    depths: dict[str, tuple[int, str]] = field(default_factory=dict)
    # Name -> versions of what provides it, "" for none.
    provided: dict[str, set[str]] = field(default_factory=dict)
    providing: dict[Relation, list[Package]] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)
    virtual: list[Asked] = field(default_factory=list)

    def take_asked(self) -> None:
        for text in self.wish.without:
            with self.report:
                self._leave_out(name_of(text, "without"))
        for text in self.wish.packages:
            with self.report:
                self._take(asked_of(text, self.universe.architecture))
        for asked in self.virtual:
            with self.report:
                self._take_provider(asked)
        for name in self.universe.essential() if self.wish.essential else ():
            self._choose_newest(name)
        if self.wish.merged_usr:
            self._choose_newest(USR_IS_MERGED)

    def _leave_out(self, name: str) -> None:
        self.without.add(name)
        package = self.universe.newest(name)
        for provided, version in package.provided if package else ():
            self.provided.setdefault(provided, set()).add(version)

    def _choose_newest(self, name: str) -> None:
        package = self.universe.newest(name)
        if package and name not in self.chosen and name not in self.without:
            self._choose(package, None)

    def _take(self, asked: Asked) -> None:
        name = asked.relation.name
        if name in self.without:
            message = f"{asked.text} is in 'packages' and in 'without'"
            raise OcclumError("packages-request", message, hint="leave one of them out")
        found = self._versions(asked)
        if not found and not self.universe.all(name):
            self.virtual.append(asked)  # what else was asked for may provide it
            return
        if not found:
            raise OcclumError.of([no_such(self.universe, asked)])
        known = self.chosen.setdefault(name, found[0])
        if (known.version, known.suite) != (found[0].version, found[0].suite):
            if asked.relation.accepts(known.version) and asked.suite in ("", known.suite):
                return
            message = f"{name} is asked for as {known.version} and as {asked.text}"
            raise OcclumError("packages-request", message, hint="leave one of them out")
        self._choose(known, None)

    def _versions(self, asked: Asked) -> list[Package]:
        """What would do, the best one first: also of suites that do not count by themselves."""
        name = asked.relation.name
        if asked.suite:
            return [one for one in self.universe.all(name) if one.suite == asked.suite]
        every = self.universe.all(name) if asked.relation.operator == "=" else ()
        candidates = self.universe.versions(name) or every
        found = [one for one in candidates if asked.relation.accepts(one.version)]
        return found or [one for one in every if asked.relation.accepts(one.version)]

    def _take_provider(self, asked: Asked) -> None:
        relation = asked.relation
        if self._is_satisfied([relation]):
            return
        found = self._providers(relation)
        if not found:
            raise OcclumError.of([no_such(self.universe, asked)])
        if len(found) > 1:
            raise OcclumError.of([ambiguous([relation], found, None)])
        self._choose(found[0], None)

    def _choose(self, package: Package, parent: str | None) -> None:
        self.chosen[package.name] = package
        self.depths[package.name] = 0, package.name
        if parent is not None:
            self.needed_by[package.name] = parent
            depth, asked = self.depths[parent]
            self.depths[package.name] = depth + 1, asked
        for name, version in package.provided:
            self.provided.setdefault(name, set()).add(version)

    def follow(self) -> None:
        """Choose what the chosen ones need, depth first; a chain may be of any length."""
        followed: set[str] = set()
        for root in list(self.chosen):
            stack = [self._frame(root, followed)]
            while stack:
                name, groups = stack[-1]
                for is_hard, group in groups:
                    package = self._needed(name, group, is_hard=is_hard)
                    if package is not None:
                        self._choose(package, name)
                        stack.append(self._frame(package.name, followed))
                        break
                else:
                    stack.pop()

    def _frame(self, name: str, followed: set[str]) -> _Frame:
        if name in followed:
            return _Frame(name, iter(()))
        followed.add(name)
        return _Frame(name, self._groups(self.chosen[name]))

    def _groups(self, package: Package) -> Iterator[tuple[bool, Group]]:
        for kind in (*_HARD, *(_SOFT if self.wish.recommends else ())):
            groups: Sequence[Group] = ()
            with self.report:
                groups = package.groups(kind)
            for group in groups:
                yield kind in _HARD, group

    def _needed(self, name: str, group: Group, *, is_hard: bool) -> Package | None:
        """What is to be chosen for a group; None where nothing is, or it cannot be told."""
        if self._is_satisfied(group):
            return None
        for relation in group:
            newest = self._real(relation)
            if newest is not None:
                return newest
            found = self._providers(relation)
            if len(found) == 1:
                return found[0]
            if found:
                self.report.add(ambiguous(group, found, self.chain(name)))
                return None
        if is_hard:
            self.report.add(self._unmet(name, group))
        return None

    def _unmet(self, name: str, group: Group) -> Problem:
        return unmet(self.universe, group, self.chain(name), self.chosen)

    def _is_satisfied(self, group: Group) -> bool:
        return any(self._has(relation) for relation in group)

    def _has(self, relation: Relation) -> bool:
        if not self._is_here(relation):
            return False
        if relation.name in self.without:
            return True
        package = self.chosen.get(relation.name)
        if package is not None and relation.accepts(package.version):
            return True
        return any(_provides(relation, one) for one in self.provided.get(relation.name, ()))

    def _is_here(self, relation: Relation) -> bool:
        return relation.qualifier in ("", "any", "native", self.universe.architecture)

    def _real(self, relation: Relation) -> Package | None:
        """The package of that name, unless another version of it has been chosen."""
        if relation.name in self.chosen or not self._is_here(relation):
            return None
        newest = self.universe.newest(relation.name)
        return newest if newest and relation.accepts(newest.version) else None

    def _providers(self, relation: Relation) -> list[Package]:
        """The best providers that can be chosen; several where nothing tells them apart."""
        if not self._is_here(relation):
            return []
        if relation not in self.providing:
            self.providing[relation] = [
                one
                for one in self.universe.providers(relation.name)
                if any(
                    name == relation.name and _provides(relation, version)
                    for name, version in one.provided
                )
            ]
        found = self.providing[relation]
        # One that is chosen is so in another version, which provides something else.
        if not self.chosen.keys().isdisjoint(map(_NAME_OF, found)):
            found = [one for one in found if one.name not in self.chosen]
        best = min((one.rank for one in found), default=0)
        return [one for one in found if one.rank == best]

    def chain(self, name: str) -> Chain:
        """A package, what needed it, and so on to what was asked for; of a long one the begin."""
        found = [name]
        while len(found) < _MOST_SHOWN and (parent := self.needed_by.get(found[-1])) is not None:
            found.append(parent)
        depth, asked = self.depths[name]
        return Chain(tuple(found), max(0, depth - len(found)), asked)


def _provides(relation: Relation, version: str) -> bool:
    """Whether a name that is provided in a version, "" for none, satisfies a relation to it."""
    if not relation.operator:
        return True
    return version != "" and relation.accepts(version)
