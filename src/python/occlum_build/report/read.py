"""Reads a manifest, and the graph beside it, which anybody may have written.

docs/manifest.md has their formats.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from occlum_build.errors import WARNING, OcclumError, Place, Problem, Report
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import read_file
from occlum_build.files.shape import ListOf, Shape, check_shape
from occlum_build.image.graph import GRAPH, HOLDS, INTERPRETER, NEEDED, Edge, Graph, Missing
from occlum_build.image.manifest import image_digest
from occlum_build.report.model import DIR, FILE, SYMLINK, Item, KnownImage
from occlum_build.shown import quoted

MANIFEST = "manifest.json"
SCHEMA = 1
CODE = "manifest"
_PROVENANCE = {
    "bom": str, "source?": str, "needed_by?": ListOf(str), "package?": str, "version?": str,
}  # fmt: skip
_ENTRIES = {
    "entries": ListOf(
        {
            "path": str,
            "type": str,
            "mode": str,
            "size?": int,
            "sha256?": str,
            "target?": str,
            "provenance?": _PROVENANCE,
        }
    )
}
_EDGE = {"from": str, "to": str, "reason": str, "name": str, "rule": str}
_MISSING = {"name": str, "chain": ListOf(str), "searched": ListOf(str)}
_GRAPH = {"image": str, "edges": ListOf(_EDGE), "missing": ListOf(_MISSING)}
_KINDS = (FILE, DIR, SYMLINK)
_OCTAL = re.compile("[0-7]{4}")
_NO_PROVENANCE: Mapping[str, Any] = {}


def read_image(path: Path, report: Report) -> KnownImage:
    """The image of a manifest, or of the directory that has it, with the graph beside it if any.

    Raises OcclumError `manifest` for what is no manifest or no graph. A graph of another image is
    left out, which the report is told.
    """
    manifest = path / MANIFEST if path.is_dir() else path
    if manifest != path and not os.path.lexists(manifest):
        hint = "name a manifest, or the directory in dist/ that `package` has written one to"
        raise OcclumError(CODE, f"{path} has no {MANIFEST}", hint=hint)
    name, data = str(manifest), read_file(manifest, MANIFEST_BYTES, code=CODE)
    value = load_manifest(data, name)
    image = KnownImage(name, _with_root(items_in(value, name), name))
    beside = manifest.with_name(GRAPH)
    if not os.path.lexists(beside):
        return image
    digest, graph = read_graph(beside)
    if not _is_of(digest, value, data):
        report.add(_other_image(str(beside)))
        return image
    return replace(image, graph=graph)


def load_manifest(data: bytes, name: str) -> dict[str, Any]:
    """The document of a manifest's bytes. OcclumError `manifest` for what is none."""
    return _with_shape(data, name, _ENTRIES)


def read_graph(path: Path) -> tuple[str, Graph]:
    """A graph, and the hex digest of the image that it says it is of. OcclumError `manifest`."""
    value = _with_shape(read_file(path, MANIFEST_BYTES, code=CODE), str(path), _GRAPH)
    return value["image"], _graph_of(value, str(path))


def image_of(manifest: bytes, name: str, graph: Graph | None = None) -> KnownImage:
    """The image of a manifest's bytes; `name` is what errors and answers call it."""
    return KnownImage(name, _with_root(items_of(manifest, name), name), graph)


def items_of(manifest: bytes, name: str) -> dict[str, Item]:
    """The entries of a manifest's bytes by path, sorted; they may be some of an image's alone."""
    return items_in(load_manifest(manifest, name), name)


def _with_root(items: dict[str, Item], name: str) -> dict[str, Item]:
    if "/" not in items:
        raise _error(name, "it has no entry for the root, /")
    return items


def items_in(manifest: Mapping[str, Any], name: str) -> dict[str, Item]:
    """The entries of a manifest's document by path, sorted. OcclumError `manifest`."""
    # In one loop almost without a call, as an image has 50,000 entries.
    items: dict[str, Item] = {}
    modes: dict[str, int] = {}
    for entry in manifest["entries"]:
        path, kind, mode, size = entry["path"], entry["type"], entry["mode"], entry.get("size", 0)
        if path[:1] != "/" or (path[-1:] == "/" and path != "/") or _is_odd(path):
            raise _error(name, f"{quoted(path)} is no path of an entry")
        if kind not in _KINDS:
            raise _error(name, f"{quoted(path)} has the type {quoted(kind)}")
        if mode not in modes:
            modes[mode] = _mode(mode, path, name)
        if size < 0:
            raise _error(name, f"{quoted(path)} has the size {size}")
        if path in items:
            raise _error(name, f"it has {quoted(path)} twice")
        text = entry.get
        why = text("provenance", _NO_PROVENANCE).get
        items[path] = Item(
            path,
            kind,
            modes[mode],
            size,
            text("sha256", ""),
            text("target", ""),
            why("bom", ""),
            tuple(why("needed_by", ())),
            why("package", ""),
            why("version", ""),
            why("source", ""),
        )
    paths = sorted(items)
    return items if paths == list(items) else {path: items[path] for path in paths}


def _is_odd(path: str) -> bool:
    """Whether it is not in normal form, so that two paths could be one, or can be none."""
    return "//" in path or "\0" in path or ("/." in path and posixpath.normpath(path) != path)


def _mode(text: str, path: str, name: str) -> int:
    if not _OCTAL.fullmatch(text):
        raise _error(name, f"{quoted(path)} has the mode {quoted(text)}")
    return int(text, 8)


def _is_of(digest: str, manifest: Mapping[str, Any], data: bytes) -> bool:
    """Whether a manifest's image has the digest; first by the text, which takes a tenth."""
    first, *rest = data.split(b'"provenance":{')
    found = hashlib.sha256(first)
    for part in rest:  # a name with this end in it makes another digest
        found.update(part[part.find(b"},") + 2 :])
    return digest == found.hexdigest() or digest == image_digest(manifest)


def _graph_of(value: Mapping[str, Any], name: str) -> Graph:
    edges = []
    for one in value["edges"]:
        if one["reason"] not in (NEEDED, INTERPRETER, HOLDS):
            raise _error(name, f"{quoted(one['reason'])} is no reason of an edge")
        edges.append(Edge(one["from"], one["to"], one["reason"], one["name"], one["rule"]))
    missing = [
        Missing(one["name"], tuple(one["chain"]), tuple(one["searched"]))
        for one in value["missing"]
    ]
    return Graph(tuple(sorted(edges)), tuple(sorted(missing)))


def _with_shape(data: bytes, name: str, shape: Shape) -> dict[str, Any]:
    value: dict[str, Any] = load_json(data, name, code=CODE)
    check_shape(value, {"schema": int}, name, code=CODE)
    if value["schema"] != SCHEMA:
        raise _error(name, f"its schema is {value['schema']}, not {SCHEMA}")
    check_shape(value, shape, name, code=CODE)
    return value


def _other_image(name: str) -> Problem:
    return Problem(
        "graph",
        "it is of another image than the manifest beside it, and is not used: of each library one "
        "chain is known",
        Place(name),
        "write both anew with `package`, or `copy-bom --manifest`",
        severity=WARNING,
    )


def _error(name: str, message: str) -> OcclumError:
    return OcclumError(CODE, message, place=Place(name))
