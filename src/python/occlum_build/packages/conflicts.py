"""Packages that cannot be installed together, by Conflicts and Breaks (Debian Policy, 7.3, 7.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Callable

from occlum_build.errors import Problem
from occlum_build.packages.package import Package
from occlum_build.packages.relations import Relation
from occlum_build.packages.unmet import Chain
from occlum_build.shown import listed


def conflicts_of(chosen: Mapping[str, Package], chain: Callable[[str], Chain]) -> Iterator[Problem]:
    """A problem for each pair; `chain` tells what needed a package."""
    providers: dict[str, list[tuple[str, str]]] = {}
    for package in chosen.values():
        for name, version in package.provided:
            providers.setdefault(name, []).append((package.name, version))
    for package in sorted(chosen.values(), key=lambda one: one.name):
        for kind in ("Conflicts", "Breaks"):
            for relation in (one for group in package.groups(kind) for one in group):
                for other in _met(relation, chosen, providers):
                    if other != package.name:
                        yield _problem(package.name, kind, relation, other, chain)


def _met(
    relation: Relation,
    chosen: Mapping[str, Package],
    providers: Mapping[str, list[tuple[str, str]]],
) -> Iterator[str]:
    """The packages that a relation is about. Without a version it is about all providers."""
    if relation.qualifier not in ("", "any"):
        return
    real = chosen.get(relation.name)
    if real is not None and relation.accepts(real.version):
        yield real.name
    for name, version in providers.get(relation.name, ()):
        if not relation.operator or (version and relation.accepts(version)):
            yield name


def _problem(
    name: str, kind: str, relation: Relation, other: str, chain: Callable[[str], Chain]
) -> Problem:
    which = "" if relation.name == other else f", which {other} provides"
    asked = [f"{one} (requested)" for one in dict.fromkeys([chain(name).asked, chain(other).asked])]
    message = f"{name} {kind} {relation}{which}: both are chosen, for {listed(asked)}"
    hint = "ask for other versions, or leave one out of 'packages'"
    return Problem("packages-conflict", message, hint=hint)
