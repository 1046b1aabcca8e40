"""Which entry of an image needs which: the edges of `graph.json`, beside the manifest.

docs/manifest.md describes it, image/graph.schema.json is its JSON schema.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from occlum_build.shown import in_utf8

if TYPE_CHECKING:  # slow to import, and whoever reads a graph needs none of it
    from occlum_build.elf.closure import Closure
    from occlum_build.image.plan import ImagePlan

SCHEMA_VERSION = 1
GRAPH = "graph.json"
NEEDED, INTERPRETER, HOLDS = "needed", "interpreter", "holds"
INTERPRETER_RULE = "PT_INTERP"

_string = json.JSONEncoder(ensure_ascii=False).encode


class Edge(NamedTuple):
    """`origin` needs `to`, both in-image paths, by a name, and the loader finds it by the rule.

    HOLDS leads from an archive to an ELF file in it, which is no entry, with neither name nor rule.
    """

    origin: str
    to: str
    reason: str
    name: str = ""
    rule: str = ""


class Missing(NamedTuple):
    """A library that was looked for in vain: the files that lead to it, and where, in order."""

    name: str
    chain: tuple[str, ...]
    searched: tuple[str, ...]


class Graph(NamedTuple):
    """What is needed in an image and what is missing there, each once and sorted."""

    edges: tuple[Edge, ...] = ()
    missing: tuple[Missing, ...] = ()


def graph_of(plan: ImagePlan) -> Graph:
    """The graph of a plan: what its closures found, as far as the image has it."""
    entries = {"/" + entry.path for entry in plan.entries}
    placed = {path: "/" + real for path, real in plan.placed.items()}
    found = _Found(entries, placed)
    for closure in plan.closures:
        found.add(closure)
    # Of one need that several programs have, the rule of a search says more.
    edges = [Edge(*key, rule) for key, rule in found.rules.items()]
    return Graph(tuple(sorted(edges)), tuple(sorted(found.missing)))


def graph_text(graph: Graph, image: str) -> bytes:
    """`graph.json` as canonical JSON; `image` is the image digest in hex."""
    edges = ",".join(
        f'{{"from":{_text(one.origin)},"name":{_text(one.name)},"reason":{_text(one.reason)},'
        f'"rule":{_text(one.rule)},"to":{_text(one.to)}}}'
        for one in graph.edges
    )
    missing = ",".join(
        f'{{"chain":{_list(one.chain)},"name":{_text(one.name)},"searched":{_list(one.searched)}}}'
        for one in graph.missing
    )
    return (
        f'{{"edges":[{edges}],"image":{_text(image)},"missing":[{missing}],'
        f'"schema":{SCHEMA_VERSION}}}'
    ).encode()


class _Found:
    """Edges by all but their rule: thousands of programs need the same of the same libraries."""

    def __init__(self, entries: set[str], placed: Mapping[str, str]) -> None:
        from occlum_build.elf.closure import ALREADY_LOADED

        self._no_search = ALREADY_LOADED
        self.entries, self.placed = entries, placed
        self.rules: dict[tuple[str, str, str, str], str] = {}
        self.missing: set[Missing] = set()

    def add(self, closure: Closure) -> None:
        program = closure.program
        start = self._path(program.image_path)
        if start not in self.entries:
            self._add_member(start)
        places = {one.path: self._path(one.image_path) for one in closure.libraries}
        places[program.path] = start
        loader = closure.interpreter
        if loader is not None and loader.source and loader.image_path:
            to = self._path(loader.image_path)
            self._edge(start, to, INTERPRETER, loader.image_path, INTERPRETER_RULE)
        for edge in closure.edges:
            if edge.image_path:
                to = self._path(edge.image_path)
                self._edge(places[edge.needer], to, NEEDED, edge.name, edge.rule)
        for one in closure.missing:
            chain = tuple(places.get(path, path) for path in one.chain)
            self.missing.add(Missing(one.name, chain, tuple(map(str, one.tried))))

    def _path(self, image_path: str) -> str:
        return self.placed.get(image_path, image_path)

    def _edge(self, origin: str, to: str, reason: str, name: str, rule: str) -> None:
        if origin == to or to not in self.entries or origin not in self.entries:
            return
        key = (origin, to, reason, name)
        known = self.rules.get(key, self._no_search)
        if known == self._no_search or (rule != self._no_search and rule < known):
            self.rules[key] = rule

    def _add_member(self, path: str) -> None:
        """Put what is no entry itself below the archive that is one."""
        archive = posixpath.dirname(path)
        while archive not in self.entries and archive != "/":
            archive = posixpath.dirname(archive)
        if archive != "/":
            self.entries.add(path)
            self.rules[archive, path, HOLDS, ""] = ""


def _text(name: str) -> str:
    """As JSON; bytes of a name that are not UTF-8 are written as escapes."""
    return _string(in_utf8(name))


def _list(names: Iterable[str]) -> str:
    return f"[{','.join(map(_text, names))}]"
