"""Chains from a BOM line over what it names to what that needs, each step with its evidence."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from occlum_build.image.graph import Edge
from occlum_build.report.model import DIR, Item, KnownImage

NAMED, IN = "named", "in"
_MOST_DIGITS = 18  # of the number of a line
MOST_CHAINS = 1_000
# Steps that are taken for all chains, and copied: there may be more than anybody can count.
_MOST_STEPS, _MOST_COPIED = 100_000, 2_000_000


class Step(NamedTuple):
    """One link of a chain: what stands at `path`, and why the one before leads there.

    `reason` is NAMED for the first, IN for the directory of the one before, else that of an edge,
    with its `name` and `rule`.
    """

    path: str
    reason: str
    name: str = ""
    rule: str = ""


class _Way(NamedTuple):
    """A path, the steps from it to where a chain ends, each with those after it, and all paths."""

    path: str
    rest: Any
    known: set[str]

    def steps(self) -> tuple[Step, ...]:
        found, rest = [Step(self.path, NAMED)], self.rest
        while rest is not None:
            step, rest = rest
            found.append(step)
        return tuple(found)


@dataclass(frozen=True)
class Chain:
    """The place of a BOM item, and the steps from what it names to an entry."""

    bom: str
    steps: tuple[Step, ...]


class Chains:
    """Answers for one image, of which it looks at all edges at most once."""

    def __init__(self, image: KnownImage) -> None:
        self._image = image
        self._left, self._copies_left = _MOST_STEPS, _MOST_COPIED
        self.is_cut = False  # whether there are more chains than were given

    def shortest(self, path: str) -> Chain | None:
        """The shortest chain to a path, of equals the first; None for what nobody brings.

        That is what no edge leads to, and the root "/", which every image has.
        """
        if path == "/":
            return None
        item = self._image.items.get(path)
        if item is not None and not item.needed_by:
            return Chain(item.bom, (Step(item.path, NAMED),))
        if item is not None and item.kind == DIR:
            return self._of_directory(item)
        return self._over_edges(path) or (self._of_manifest(item) if item is not None else None)

    def bom_of(self, item: Item) -> str:
        """The place that the shortest chain to an entry begins at."""
        if item.needed_by and item.kind != DIR:
            start = self._starts.get(item.path)
            return item.bom if start is None else self._image.items[start].bom
        chain = self.shortest(item.path)
        return chain.bom if chain is not None else item.bom

    def _over_edges(self, path: str) -> Chain | None:
        steps: list[Step] = []
        while path in self._ways:
            edge = self._ways[path]
            steps.append(Step(path, edge.reason, edge.name, edge.rule))
            path = edge.origin
        if steps and path in self._image.items:
            steps.append(Step(path, NAMED))
            return Chain(self._image.items[path].bom, tuple(reversed(steps)))
        return None

    def every(self, path: str) -> list[Chain]:
        """All chains to a path that make no circle, the shortest first; `is_cut`: not all are."""
        if path == "/":
            return []
        found: list[Chain] = []
        pending = deque([_Way(path, None, {path})])
        while pending:
            way = pending.popleft()
            item = self._image.items.get(way.path)
            if item is not None and not item.needed_by:
                found.append(Chain(item.bom, way.steps()))
                self._copies_left -= len(found[-1].steps)
            if len(found) >= MOST_CHAINS:
                self.is_cut = self.is_cut or bool(pending)
                break
            pending += self._longer(way)
        if found:
            return found
        chain = self.shortest(path)
        return [chain] if chain is not None else []

    def _longer(self, way: _Way) -> Iterator[_Way]:
        """A way with one step more at its begin, for each edge that leads there."""
        edges = self._first_edges_to.get(way.path, ())
        edges = [edge for edge in edges if edge.origin not in way.known]
        for left, edge in zip(range(len(edges) - 1, -1, -1), edges):
            if self._left <= 0 or self._copies_left <= 0:
                self.is_cut = True
                return
            self._left -= 1
            known = way.known
            if left:  # the last one takes it over: a long line is no square of copies
                known = set(known)
                self._copies_left -= len(known)
            known.add(edge.origin)
            step = Step(way.path, edge.reason, edge.name, edge.rule)
            yield _Way(edge.origin, (step, way.rest), known)

    def _of_directory(self, item: Item) -> Chain:
        """Of one that was made for what is needed below it: the chain of the first of that."""
        below = sorted(self._image.tree(item.path))
        first = next((one for one in below if one.needed_by and one.kind != DIR), None)
        chain = self._over_edges(first.path) if first is not None else None
        if chain is None:
            return self._of_manifest(item)
        return Chain(chain.bom, (*chain.steps, Step(item.path, IN)))

    def _of_manifest(self, item: Item) -> Chain:
        """The chain that the manifest has: of sources, where these are of entries of those."""
        *before, last = item.needed_by or ("",)
        paths = [self._by_source.get(source, source) for source in before]
        if paths:  # the last is the library itself, as it was found
            paths[-1] = item.path
        name, _, rule = last.partition(" found by ")
        steps = [Step(path, "needed") for path in paths[1:]]
        if steps:
            steps[-1] = Step(item.path, "needed", name if rule else "", rule or last)
        return Chain(item.bom, (Step(paths[0] if paths else item.path, NAMED), *steps))

    @cached_property
    def _ways(self) -> Mapping[str, Edge]:
        """For all that is needed the last edge of the shortest chain to it."""
        items, edges = self._image.items, self._image.edges_from
        start = [path for path in edges if path in items and not items[path].needed_by]
        start.sort(key=lambda path: place_key(items[path].bom))
        known, ways = set(start), {}
        pending = deque(start)
        while pending:
            for edge in edges.get(pending.popleft(), ()):
                if edge.to not in known:
                    known.add(edge.to)
                    ways[edge.to] = edge
                    pending.append(edge.to)
        return ways

    @cached_property
    def _starts(self) -> Mapping[str, str]:
        """For all that is needed where the shortest chain to it begins."""
        starts: dict[str, str] = {}
        for path, edge in self._ways.items():  # what is nearer to a start comes first
            starts[path] = starts.get(edge.origin, edge.origin)
        return starts

    @cached_property
    def _first_edges_to(self) -> Mapping[str, list[Edge]]:
        """Of edges between the same two only the first."""
        first: dict[tuple[str, str], Edge] = {}
        for edge in self._image.graph.edges if self._image.graph else ():
            first.setdefault((edge.origin, edge.to), edge)
        found: dict[str, list[Edge]] = {}
        for edge in first.values():
            found.setdefault(edge.to, []).append(edge)
        return found

    @cached_property
    def _by_source(self) -> Mapping[str, str]:
        return {item.source: path for path, item in self._image.items.items() if item.source}


def place_key(bom: str) -> tuple[str, int, int]:
    """By file, line and column: 5:17 before 12:9."""
    file, *numbers = bom.rsplit(":", 2)
    if len(numbers) == 2 and all(one.isdecimal() and len(one) <= _MOST_DIGITS for one in numbers):
        return file, int(numbers[0]), int(numbers[1])
    return bom, 0, 0
