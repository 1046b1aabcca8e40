"""Why each entry is in an image: a graph from BOM lines over programs to their libraries."""

from __future__ import annotations

from typing import Any

from occlum_build.elf.graph import build_graph
from occlum_build.image.plan import ImagePlan

BOM, ENTRY = "bom", "entry"


def image_graph(plan: ImagePlan) -> Any:
    """A networkx.DiGraph of BOM lines and in-image paths ("/bin/app").

    A node has `kind` (BOM or ENTRY); an edge from a BOM line is labelled "named", one between paths
    "needed" or "interpreter", with the `rule` by which the loader finds it.
    """
    import networkx

    graph: Any = networkx.DiGraph()
    for entry in plan.entries:
        path = "/" + entry.path
        graph.add_node(path, kind=ENTRY, source=entry.source)
        if not entry.is_library:
            line = str(entry.origin.place)
            graph.add_node(line, kind=BOM)
            graph.add_edge(line, path, reason="named", rule="")
    needs = networkx.relabel_nodes(
        build_graph(plan.closures), {path: "/" + real for path, real in plan.placed.items()}
    )
    for needer, needed, attributes in needs.edges(data=True):
        if needer in graph and needed in graph and needer != needed:
            graph.add_edge(needer, needed, reason=attributes["reason"], rule=attributes["rule"])
    return graph


def why(graph: Any, path: str) -> list[tuple[str, ...]]:
    """The shortest chain to an in-image path from each BOM line that leads to it; [] for none."""
    import networkx

    if path not in graph:
        return []
    above = networkx.ancestors(graph, path)
    lines = sorted(node for node in above if graph.nodes[node]["kind"] == BOM)
    return [tuple(networkx.shortest_path(graph, line, path)) for line in lines]
