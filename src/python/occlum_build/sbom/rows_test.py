from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError, Place
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.graph import NEEDED, Edge, Graph
from occlum_build.image.manifest import manifest_text
from occlum_build.sbom.rows import ImageRows, Row, read_edges, read_manifest, rows_of

SHA256 = {"/usr/bin/app": "aa" * 32, "/lib/real.so": "bb" * 32, "/lib/ld.so": "cc" * 32}
PACKAGES = {"/lib/real.so": ("libx", "1")}
PLACE = Place("app/bom.yaml", 3, 5)
FOUND = "libx.so found by default directory"
ENTRIES = [
    Entry("", DIR, Origin(PLACE)),
    Entry("bin/app", FILE, Origin(PLACE), source="/usr/bin/app", size=3),
    Entry(
        "lib/libx.so",
        FILE,
        Origin(PLACE, ("/usr/bin/app", "/lib/libx.so", FOUND)),
        source="/lib/real.so",
        size=4,
    ),
    Entry(
        "lib/ld.so", FILE, Origin(PLACE, ("/usr/bin/app", "interpreter /lib/ld.so")),
        source="/lib/ld.so",
    ),
    Entry("x", SYMLINK, Origin(Place("app:bom")), target="bin/app"),
]  # fmt: skip
EDGES = (("/bin/app", "/lib/ld.so"), ("/bin/app", "/lib/libx.so"))
GRAPH = Graph(tuple(Edge(origin, to, NEEDED) for origin, to in EDGES))


def manifest(**changes: Any) -> Any:
    """A manifest of one file, of which something is changed."""
    entry = {"path": "/a", "type": "file", "mode": "0644", "size": 1, "sha256": "a" * 64}
    return {"schema": 1, "entries": [{**entry, **changes}]}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_a_manifest_says_what_a_plan_does(tmp_path: Path) -> None:
    text = manifest_text(ENTRIES, SHA256.__getitem__, PACKAGES)
    (tmp_path / "manifest.json").write_bytes(text.full)
    rows = rows_of(text.digest, ENTRIES, SHA256, PACKAGES, GRAPH)
    assert read_manifest(tmp_path / "manifest.json") == rows
    assert rows.edges == EDGES
    assert rows.boms == ("app/bom.yaml", "app:bom")
    assert rows.rows[2] == Row("/lib/libx.so", "bb" * 32, 4, "libx", "1", "/lib/real.so")


@pytest.mark.parametrize(
    ("value", "code", "message"),
    [
        ([], "manifest", "the document"),
        ({"schema": 2, "entries": []}, "manifest", "its schema is 2, not 1"),
        (manifest(path=1), "manifest", "path"),
        (manifest(sha256=""), "sbom", "'/a' is no file with a SHA-256"),
        (manifest(type="symlink"), "sbom", "'/a' is no file with a SHA-256, and no link"),
        *((manifest(sha256=one), "sbom", "no file with a SHA-256") for one in ("z" * 64, "A" * 64)),
        *(
            (manifest(path=one), "manifest", f"{one!r} is no path of an entry")
            for one in ("a", "", "//a", "/a/", "/x/../z", "/./a", "/a\0b")
        ),
        (manifest(path="/"), "sbom", "'/' is no path of a file"),
        ({"schema": 1, "entries": 2 * manifest()["entries"]}, "manifest", "it has '/a' twice"),
        *(
            (
                manifest(provenance={"bom": "b", "package": one}),
                "sbom",
                f"of the package {one!r}, which is no name",
            )
            for one in ("/", "///", "a/b", "a b", "..", "libc6:amd64", "\x9b")
        ),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, value: Any, code: str, message: str) -> None:
    path = write(tmp_path / "m.json", value)
    with pytest.raises(OcclumError) as error:
        read_manifest(path)
    assert error.value.code == code and str(path) in str(error.value)
    assert message in str(error.value)


def test_edges_of_the_closure(tmp_path: Path) -> None:
    image = ImageRows("ab" * 32, (), EDGES)
    path = tmp_path / "graph.json"
    assert read_edges(path, image) == EDGES
    edge = {"from": "/a", "to": "/b", "reason": "needed", "name": "b", "rule": "r"}
    write(path, {"schema": 1, "image": "ab" * 32, "edges": [edge, edge], "missing": []})
    assert read_edges(path, image) == (("/a", "/b"),)


def test_edges_of_another_image(tmp_path: Path) -> None:
    value = {"schema": 1, "image": "other", "edges": [], "missing": []}
    path = write(tmp_path / "graph.json", value)
    with pytest.raises(OcclumError, match="it is of the image 'other', and the manifest of abab"):
        read_edges(path, ImageRows("ab" * 32, ()))
