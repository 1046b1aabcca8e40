"""What the page shows of an image, as one value of JSON. What others wrote is escaped in it.

Entries are columns, and texts that recur are numbers of `texts`: 50,000 entries are read at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from occlum_build.errors import WARNING, Problem
from occlum_build.image.graph import Edge, Graph
from occlum_build.image.manifest import SCHEMA_VERSION, canonical_json
from occlum_build.report.model import DIR, FILE, SYMLINK, KnownImage, without_graph
from occlum_build.report.owners import groups_of
from occlum_build.report.page.levels import levels_of
from occlum_build.shown import escaped, in_utf8, shown

SCHEMA = 1
_KINDS = (FILE, DIR, SYMLINK)
_MOST_LINES = 100  # BOM lines of one group that are named, of which thousands may share a libc


class _Texts:
    """Each text once; a text's number is its place, 0 that of the empty one."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        return [escaped(text) for text in self._numbers]


def document(
    image: KnownImage,
    *,
    name: str,
    problems: Iterable[Problem] = (),
    record: Mapping[str, Any] | None = None,
    difference: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All of it; `record` is that of a measurement.json, `difference` one of `difference_json`.

    `name` is what the page calls the image: it has no path of the machine, nor a time.
    """
    texts = _Texts()
    missing = _missing(image.graph) if image.graph is not None else ()
    return {
        "schema": SCHEMA,
        "name": escaped(name),
        "digest": f"sha256:{digest_of(image)}",
        "entries": _entries(image, texts),
        "groups": _groups(image, texts),
        "graph": _graph(image.graph.edges, texts) if image.graph is not None else None,
        "problems": [_problem(one) for one in (*problems, *without_graph(image), *missing)],
        "measurement": _measurement(record) if record is not None else None,
        "difference": difference,
        "texts": texts.all(),
    }


def digest_of(image: KnownImage) -> str:
    """The image digest in hex (docs/manifest.md)."""
    entries = []
    for item in image.items.values():
        entry: dict[str, Any] = {"mode": f"{item.mode:04o}", "path": in_utf8(item.path)}
        entry["type"] = item.kind
        if item.kind == FILE:
            entry.update(sha256=item.sha256, size=item.size)
        elif item.kind == SYMLINK:
            entry["target"] = in_utf8(item.target)
        entries.append(entry)
    value = {"entries": entries, "schema": SCHEMA_VERSION}
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _entries(image: KnownImage, texts: _Texts) -> dict[str, Any]:
    items = [item for item in image.items.values() if item.path != "/"]
    return {
        "path": [escaped(item.path) for item in items],
        "kind": [_KINDS.index(item.kind) for item in items],
        "mode": [item.mode for item in items],
        "size": [item.size for item in items],
        "sha256": [escaped(item.sha256) for item in items],
        "target": [texts.number(item.target) for item in items],
        "bom": [texts.number(item.bom) for item in items],
        "package": [texts.number(item.release) for item in items],
        "source": [escaped(item.source) for item in items],
        "needed_by": {
            number: [texts.number(step) for step in item.needed_by]
            for number, item in enumerate(items)
            if item.needed_by
        },
    }


def _groups(image: KnownImage, texts: _Texts) -> list[dict[str, Any]]:
    """Who pays for which entries, these by their numbers; the largest first."""
    numbers = {path: number for number, path in enumerate(p for p in image.items if p != "/")}
    groups = [
        (-sum(item.size for item in items), boms, sorted(numbers[item.path] for item in items))
        for boms, items in groups_of(image).items()
    ]
    return [
        {
            "boms": [texts.number(bom) for bom in boms[:_MOST_LINES]],
            "lines": len(boms),
            "entries": entries,
        }
        for _, boms, entries in sorted(groups)
    ]


def _graph(edges: Sequence[Edge], texts: _Texts) -> dict[str, Any]:
    levels = levels_of(edges)
    nodes = sorted(levels)
    numbers = {path: number for number, path in enumerate(nodes)}
    return {
        "path": [escaped(path) for path in nodes],
        "level": [levels[path] for path in nodes],
        "from": [numbers[edge.origin] for edge in edges],
        "to": [numbers[edge.to] for edge in edges],
        "reason": [texts.number(edge.reason) for edge in edges],
        "name": [texts.number(edge.name) for edge in edges],
        "rule": [texts.number(edge.rule) for edge in edges],
    }


def _missing(graph: Graph) -> Iterator[Problem]:
    for one in graph.missing:
        message = f"{one.name}, which {' -> '.join(one.chain)} needs, was not found"
        hint = f"looked for in {'; '.join(one.searched)}" if one.searched else ""
        yield Problem("libraries", message, hint=hint, severity=WARNING)


def _problem(problem: Problem) -> dict[str, str]:
    return {
        "severity": problem.severity,
        "code": problem.code,
        "place": problem.place.shown() if problem.place else "",
        "message": shown(problem.message),
        "hint": shown(problem.hint),
    }


def _measurement(record: Mapping[str, Any]) -> dict[str, Any]:
    """The identities, and all other values by their names: `inputs.toolchain.version`."""
    return {
        "mrenclave": escaped(record["mrenclave"]),
        "mrsigner": escaped(record["mrsigner"] or ""),
        "debuggable": record["debuggable"],
        "values": [[escaped(name), escaped(text)] for name, text in sorted(_values(record))],
    }


def _values(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    pending: list[tuple[str, Any]] = [("", record)]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            pending += [(f"{name}.{key}" if name else key, one) for key, one in value.items()]
        else:
            yield name, value if isinstance(value, str) else canonical_json(value).decode()
