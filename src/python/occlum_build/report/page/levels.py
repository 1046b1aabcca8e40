"""How deep each file of a closure is: what nothing needs is on level 0, what it needs below it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from occlum_build.image.graph import Edge


def levels_of(edges: Iterable[Edge]) -> Mapping[str, int]:
    """A level of each path, the longest way from a program; what needs each other has one level."""
    import networkx  # slow to import

    graph = networkx.DiGraph()
    graph.add_edges_from((edge.origin, edge.to) for edge in edges)
    groups = networkx.condensation(graph)
    return {
        path: level
        for level, generation in enumerate(networkx.topological_generations(groups))
        for group in generation
        for path in groups.nodes[group]["members"]
    }
