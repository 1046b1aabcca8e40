"""Chains are those that networkx finds in the same graph."""

from __future__ import annotations

from typing import Any

import networkx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.image.entries import FILE
from occlum_build.image.graph import NEEDED, Edge, Graph
from occlum_build.report.chains import Chains
from occlum_build.report.model import Item, KnownImage

_ENTRIES = 7  # few enough to count all chains
_NUMBERS = st.integers(0, _ENTRIES - 1)
EDGES = st.frozensets(st.tuples(_NUMBERS, _NUMBERS).filter(lambda pair: pair[0] != pair[1]))


# A machine may have other things to do.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EDGES, st.integers(1, 3))
def test_chains(pairs: frozenset[tuple[int, int]], named: int) -> None:
    paths = [f"/{number}" for number in range(_ENTRIES)]
    items = {
        path: Item(
            path, FILE, 0o644, bom=f"bom.yaml:{number + 1}:1",
            needed_by=() if number < named else ("/x", path, "rule"),
        )
        for number, path in enumerate(paths)
    }  # fmt: skip
    edges = tuple(Edge(paths[a], paths[b], NEEDED, "so", "rule") for a, b in sorted(pairs))
    graph: Any = networkx.DiGraph((edge.origin, edge.to) for edge in edges)
    graph.add_nodes_from(paths)
    image = KnownImage("image", items, Graph(edges))
    for path in paths[named:]:
        expected = {
            tuple(chain)
            for start in paths[:named]
            for chain in networkx.all_simple_paths(graph, start, path)
        }
        found = Chains(image).every(path)
        if expected:
            told = [tuple(step.path for step in chain.steps) for chain in found]
            assert set(told) == expected and len(told) == len(expected)
            assert list(map(len, told)) == sorted(map(len, told))
            shortest = Chains(image).shortest(path)
            assert shortest is not None and len(shortest.steps) == len(told[0])
            assert Chains(image).bom_of(items[path]) == shortest.bom
