"""Why each entry is in an image: a graph from BOM lines over programs to their libraries."""

from __future__ import annotations

import posixpath
from typing import Any

from occlum_build.elf.closure import Node
from occlum_build.elf.graph import build_graph
from occlum_build.image.plan import ImagePlan

BOM, ENTRY, MEMBER = "bom", "entry", "member"


def image_graph(plan: ImagePlan) -> Any:
    """A networkx.DiGraph of BOM lines and in-image paths ("/bin/app").

    A node has `kind` (BOM, ENTRY or MEMBER, an ELF file in an archive); an edge from a BOM line is
    labelled "named", one from an archive "holds", one between other paths "needed" or
    "interpreter", with the `rule` by which the loader finds it.
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
    for closure in plan.closures:
        _add_member(graph, closure.program)
    needs = networkx.relabel_nodes(
        build_graph(plan.closures), {path: "/" + real for path, real in plan.placed.items()}
    )
    for needer, needed, attributes in needs.edges(data=True):
        if needer in graph and needed in graph and needer != needed:
            graph.add_edge(needer, needed, reason=attributes["reason"], rule=attributes["rule"])
    return graph


def _add_member(graph: Any, program: Node) -> None:
    """Put what is no entry itself below the archive that is one."""
    archive = path = program.image_path
    while archive not in graph and archive != "/":
        archive = posixpath.dirname(archive)
    if archive != path and archive in graph:
        graph.add_node(path, kind=MEMBER, source=program.real)
        graph.add_edge(archive, path, reason="holds", rule="")


def why(graph: Any, path: str) -> list[tuple[str, ...]]:
    """The shortest chain to an in-image path from each BOM line that leads to it; [] for none."""
    import networkx

    if path not in graph:
        return []
    above = networkx.ancestors(graph, path)
    lines = sorted(node for node in above if graph.nodes[node]["kind"] == BOM)
    return [tuple(networkx.shortest_path(graph, line, path)) for line in lines]
