"""What of a manifest counts for a bill of materials, and edges of the closure beside it."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import read_file
from occlum_build.files.shape import ListOf, check_shape
from occlum_build.image.manifest import SCHEMA_VERSION, image_digest
from occlum_build.shown import quoted

MANIFEST, GRAPH = "manifest.json", "graph.json"
CODE = "sbom"
_MANIFEST = {
    "schema": int,
    "entries": ListOf(
        {
            "path": str,
            "type": str,
            "sha256?": str,
            "size?": int,
            "provenance?": {"package?": str, "version?": str, "source?": str},
        }
    ),
}
_GRAPH = {"schema": int, "image": str, "edges": ListOf({"from": str, "to": str})}


class Row(NamedTuple):
    """A file or link of an image: absolute path, SHA-256 in hex and size of a file, its package.

    source: where the build took it from.
    """

    path: str
    sha256: str = ""
    size: int = 0
    package: str = ""
    version: str = ""
    source: str = ""


class ImageRows(NamedTuple):
    """The rows of an image by their paths, and the image digest in hex."""

    digest: str
    rows: tuple[Row, ...]


def read_manifest(path: Path) -> ImageRows:
    """The rows of a manifest. Raises OcclumError `sbom`, which names the file."""
    name = str(path)
    manifest = load_json(read_file(path, MANIFEST_BYTES, code=CODE), name, code=CODE)
    check_shape(manifest, _MANIFEST, name, code=CODE)
    _check_schema(manifest, SCHEMA_VERSION, name)
    rows = []
    for entry in manifest["entries"]:
        if entry["type"] == "dir":
            continue
        row = _row(entry)
        if (entry["type"] == "file") != (len(row.sha256) == 64):
            message = f"{quoted(row.path)} is no file with a SHA-256, and no link"
            raise OcclumError(CODE, message, place=Place(name))
        rows.append(row)
    return ImageRows(image_digest(manifest), tuple(sorted(rows)))


def _row(entry: dict[str, Any]) -> Row:
    provenance = entry.get("provenance", {})
    of = (provenance.get(key, "") for key in ("package", "version", "source"))
    path = posixpath.normpath("/" + entry["path"].lstrip("/"))
    return Row(path, entry.get("sha256", ""), entry.get("size", 0), *of)


def read_edges(path: Path, digest: str) -> tuple[tuple[str, str], ...]:
    """The edges of the closure of the image with this digest; none where there is no such file.

    Raises OcclumError `sbom` for what is no such file, or is of another image.
    """
    if not path.exists():
        return ()
    name = str(path)
    graph = load_json(read_file(path, MANIFEST_BYTES, code=CODE), name, code=CODE)
    check_shape(graph, _GRAPH, name, code=CODE)
    _check_schema(graph, 1, name)
    if graph["image"] != digest:
        message = f"it is of the image {quoted(graph['image'])}, and the manifest of {digest}"
        hint = "build the image anew, or remove the file: the bill has no dependencies then"
        raise OcclumError(CODE, message, place=Place(name), hint=hint)
    return edges_of((edge["from"], edge["to"]) for edge in graph["edges"])


def edges_of(edges: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Edges as a bill takes them: each once, sorted."""
    return tuple(sorted(set(edges)))


def entry_at(path: str, paths: Collection[str]) -> str:
    """The one of the paths that this is, or that is an archive which has it; "" for none."""
    while path not in paths and path not in ("", "/"):
        path = posixpath.dirname(path)
    return path if path in paths else ""


def _check_schema(value: dict[str, Any], schema: int, name: str) -> None:
    if value["schema"] != schema:
        message = f"its schema is {value['schema']}, not {schema}"
        hint = "use the version of occlum-build that wrote it"
        raise OcclumError(CODE, message, place=Place(name), hint=hint)
