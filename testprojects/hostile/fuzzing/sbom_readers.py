"""Readers of what bills of materials are made of: metadata of packages, manifests, graphs."""

from __future__ import annotations

import json

from hostile.fuzzing.workplace import SEPARATOR, file_of, parts_of
from occlum_build.errors import OcclumError
from occlum_build.sbom.debian import controls_of, copyright_of
from occlum_build.sbom.describe import Known, describe
from occlum_build.sbom.jars import jar_at, own_of
from occlum_build.sbom.model import bill_json
from occlum_build.sbom.python_metadata import distribution_of, recorded_files
from occlum_build.sbom.rows import ImageRows, Row, read_edges, read_manifest
from occlum_build.sbom.testing import CONTROL, COPYRIGHT, DIGEST, METADATA, RECORD, SmallImage

_POM = b"groupId=g\nartifactId=a\nversion=1\n"


def sbom(data: bytes) -> None:
    """Metadata in an image, an archive of Java, a manifest and a graph."""
    parts = parts_of(data, 4)
    controls_of(parts[0])
    copyright_of(parts[1])
    distribution_of(parts[2])
    recorded_files(parts[3], "/usr/lib/site")
    with file_of(data, "a.jar") as path:
        own_of(jar_at(str(path)), "/a.jar")
        image = SmallImage(path.parent / "image")
        for name, content in zip(("METADATA", "RECORD", "x.jar"), (*parts[2:], parts[0])):
            image.add(f"/a.dist-info/{name}", content)
        image.add("/etc/os-release", parts[1])
        bill_json(image.bill())
    with file_of(data, "manifest.json") as path:
        try:
            image_rows = read_manifest(path)
            bill_json(describe("image", image_rows, Known(lambda _: None, edges=image_rows.edges)))
        except OcclumError as error:
            assert error.code in ("manifest", "sbom")
        rows = ImageRows(DIGEST, (Row("/a", DIGEST, 1), Row("/b", DIGEST, 1)))
        edges = read_edges(path, rows)
        bill_json(describe("image", rows, Known(lambda _: None, edges=edges)))


def seeds() -> list[tuple[str, bytes]]:
    """Inputs for it, by reader."""
    row = {"path": "/a", "type": "file", "mode": "0644", "size": 1, "sha256": DIGEST}
    needed = ["/b", "/lib/a", "a found by RPATH"]
    of = {"bom": "a:1:2", "needed_by": needed, "package": "p", "source": "/a", "version": "1"}
    edge = {"from": "/a", "to": "/b", "reason": "needed", "name": "b", "rule": "r"}
    graph = {"schema": 1, "image": DIGEST, "missing": []}
    return [
        ("sbom", SEPARATOR.join([CONTROL, COPYRIGHT, METADATA, RECORD])),
        ("sbom", SEPARATOR.join([_POM, b"ID=x\nVERSION_ID='1'\n", METADATA, b'"a,b",,\n'])),
        ("sbom", json.dumps({"schema": 1, "entries": [{**row, "provenance": of}]}).encode()),
        ("sbom", json.dumps({**graph, "edges": [edge]}).encode()),
        ("sbom", json.dumps({**graph, "edges": [{**edge, "from": "//x"}]}).encode()),
    ]
