"""The graph of what needs what in an image, and the chains that answer why a file is there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from occlum_build.elf.closure import Closure

NEEDED, INTERPRETER = "needed", "interpreter"


def build_graph(closures: Iterable[Closure]) -> Any:
    """A networkx.DiGraph of image paths, from every program to its loader and libraries.

    A node has `source` (the source path of its content) and `program` (whether it is a root); an
    edge has `reason` (NEEDED or INTERPRETER), `name` (that of DT_NEEDED or PT_INTERP) and `rule`.
    The order of nodes and edges is that of the closures.
    """
    import networkx

    graph: Any = networkx.DiGraph()
    for closure in closures:
        _add(graph, closure)
    return graph


def why(graph: Any, path: str) -> list[tuple[str, ...]]:
    """For every program that leads to an image path the shortest chain, sorted; [] for none."""
    import networkx

    if path not in graph:
        return []
    above = networkx.ancestors(graph, path) | {path}
    roots = sorted(one for one in above if graph.nodes[one]["program"])
    return [tuple(networkx.shortest_path(graph, root, path)) for root in roots]


def _add(graph: Any, closure: Closure) -> None:
    program = closure.program
    _add_node(graph, program.image_path, program.real, program=True)
    places = {program.path: program.image_path}
    loader = closure.interpreter
    if loader is not None and loader.source and loader.image_path:
        _add_node(graph, loader.image_path, loader.source)
        attributes = {"reason": INTERPRETER, "name": loader.image_path, "rule": "PT_INTERP"}
        graph.add_edge(program.image_path, loader.image_path, **attributes)
    places.update({one.path: one.image_path for one in closure.libraries})
    for edge in closure.edges:
        if edge.image_path:
            _add_node(graph, edge.image_path, edge.real)
            attributes = {"reason": NEEDED, "name": edge.name, "rule": edge.rule}
            graph.add_edge(places[edge.needer], edge.image_path, **attributes)


def _add_node(graph: Any, path: str, source: str, *, program: bool = False) -> None:
    known = graph.nodes[path] if path in graph else {"source": source, "program": False}
    graph.add_node(path, source=known["source"], program=known["program"] or program)
