"""Readers of what is told of images: manifests with their graphs, and OCI layouts."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from typing import Any

from hostile.fuzzing.workplace import SEPARATOR, fresh_directory, parts_of, text_of
from occlum_build.errors import OcclumError, Report
from occlum_build.image.graph import GRAPH, Edge, Graph, Missing, graph_text
from occlum_build.report.diff import compare
from occlum_build.report.diff_output import lines as lines_of_difference
from occlum_build.report.diff_output import to_json as difference_to_json
from occlum_build.report.read import MANIFEST, read_image
from occlum_build.report.sides import Side, read_side
from occlum_build.report.size import Sizes
from occlum_build.report.size_output import lines as lines_of_sizes
from occlum_build.report.size_output import to_json as sizes_to_json
from occlum_build.report.why import Why
from occlum_build.report.why_output import absent_error, lines, to_json

_QUERIES = ("/", "a", "/a/b/..", "*a*", "package:*", "libz.so", "/none/[a]")


def image_report(data: bytes) -> None:
    """A manifest, the graph beside it, the manifest of another image, and what is asked for."""
    manifest, graph, other, asked = parts_of(data, 4)
    with fresh_directory() as directory:
        (directory / MANIFEST).write_bytes(manifest)
        if graph:
            # Of the right image, as far as the text tells.
            identity = re.sub(rb'"provenance":\{[^{}]*\},', b"", manifest)
            graph = graph.replace(b"DIGEST", hashlib.sha256(identity).hexdigest().encode())
            (directory / GRAPH).write_bytes(graph)
        image = read_image(directory, Report())
    for every in (False, True):
        why = Why(image, every=every)
        queries = (*_QUERIES, *text_of(asked).split("\n")[:5])
        answers = [one for query in queries for one in why.answers(query)]
        _write(list(lines(image, answers)), to_json(image, answers), absent_error(answers))
    sizes = Sizes(image)
    _write(list(lines_of_sizes(sizes, 2)), sizes_to_json(sizes, 2), None)
    found = compare(Side("old", manifest), Side("new", other or manifest))
    _write(list(lines_of_difference(found)), difference_to_json(found), None)


def oci_layout(data: bytes) -> None:
    """A layer of an OCI layout, or its index and the manifest that it names."""
    index, manifest, layer = parts_of(data, 3) if SEPARATOR in data else (b"", b"", data)
    with fresh_directory() as directory:
        blobs = directory / "blobs/sha256"
        blobs.mkdir(parents=True)

        def blob(content: bytes) -> bytes:
            name = hashlib.sha256(content).hexdigest()
            (blobs / name).write_bytes(content)
            return f"sha256:{name}".encode()

        manifest = (manifest or b'{"layers":[{"digest":"LAYER"}]}').replace(b"LAYER", blob(layer))
        index = (index or b'{"manifests":[{"digest":"X"}]}').replace(
            b'"X"', b'"%s"' % blob(manifest)
        )
        (directory / "index.json").write_bytes(index)
        (directory / "oci-layout").write_bytes(b"{}")
        side = read_side(str(directory))
    assert compare(side, side).is_empty


def _write(text: list[str], value: object, error: OcclumError | None) -> None:
    json.dumps(value)
    assert all(isinstance(line, str) for line in text)
    assert error is None or error.problems


def seeds() -> list[tuple[str, bytes]]:
    """Inputs for them, by reader."""
    digest = "ab" * 32
    why = {"bom": "a/bom.yaml:5:9", "package": "libz1", "version": "1.0", "source": "/z"}
    needed = {**why, "needed_by": ["/src/a", "/lib/libz.so", "libz.so found by loader config"]}
    entries: list[dict[str, Any]] = [
        {"mode": "0755", "path": "/", "type": "dir"},
        {"mode": "0755", "path": "/a", "provenance": why, "sha256": digest, "size": 1,
         "type": "file"},
        {"mode": "0755", "path": "/d", "provenance": needed, "type": "dir"},
        {"mode": "0755", "path": "/d/libz.so", "provenance": needed, "sha256": digest, "size": 2,
         "type": "file"},
        {"mode": "0777", "path": "/l", "provenance": why, "target": "d", "type": "symlink"},
    ]  # fmt: skip

    def text(some: list[dict[str, Any]]) -> bytes:
        return json.dumps({"entries": some, "schema": 1}, separators=(",", ":")).encode()

    edges = (
        Edge("/a", "/a/m", "holds"),
        Edge("/a", "/d/libz.so", "needed", "libz.so", "loader config"),
        Edge("/d/libz.so", "/a", "interpreter", "/a", "PT_INTERP"),
    )
    graph = graph_text(Graph(edges, (Missing("libx.so", ("/a",), ("/x: gone",)),)), "DIGEST")
    whole, fewer = text(entries), text([*entries[:2], entries[4]])
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("d/f", tarfile.REGTYPE), ("l", tarfile.SYMTYPE),
                           ("h", tarfile.LNKTYPE), ("d/.wh.f", tarfile.REGTYPE)):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "d/f" if kind == tarfile.LNKTYPE else ""
            archive.addfile(info)
    index = b'{"manifests":[{"digest":"X"}]}'
    return [
        ("image_report", SEPARATOR.join([whole, graph, fewer, b"/l/libz.so\nlibx.so"])),
        ("image_report", SEPARATOR.join([fewer, b"", whole])),
        ("image_report", whole),
        ("oci_layout", tar.getvalue()),
        ("oci_layout", SEPARATOR.join([index, b'{"layers":[{"digest":"LAYER"}]}', tar.getvalue()])),
    ]
