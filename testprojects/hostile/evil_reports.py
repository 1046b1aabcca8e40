"""Names of others in manifests, graphs and measurements, and in what is asked about them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from hostile.evil_names import World
from occlum_build.image.manifest import image_digest

_DIGEST = "ab" * 32


def look_at_images(world: World) -> None:
    text = world.text
    path, old, new = f"/{text}", world.path / "old", world.path / "new"
    why = {"bom": text, "package": text, "version": text, "source": text}
    needed = {**why, "needed_by": [text, text, f"{text} found by {text}"]}
    file: dict[str, Any] = {"mode": "0644", "sha256": _DIGEST, "size": 10, "type": "file"}
    link: dict[str, Any] = {"mode": "0777", "target": text, "type": "symlink"}
    entries: list[dict[str, Any]] = [
        {"mode": "0755", "path": "/", "type": "dir"},
        {**file, "path": "/a", "provenance": why},
        {**file, "path": f"/b{text}", "provenance": needed},
        {**link, "path": f"/l{text}", "provenance": why},
    ]
    edge = {"from": "/a", "to": f"/b{text}", "reason": "needed", "name": text, "rule": text}
    missing = {"name": text, "chain": [text], "searched": [text]}
    for folder, some in ((old, entries), (new, [*entries[:2], {**link, "path": f"/b{text}"}])):
        folder.mkdir()
        manifest = {"entries": some, "schema": 1}
        graph = {
            "schema": 1,
            "image": image_digest(manifest),
            "edges": [edge],
            "missing": [missing],
        }
        _write(folder / "manifest.json", manifest)
        _write(folder / "graph.json", graph)
    for asked in (path, f"/b{text}", f"/l{text}/x", text, f"package:{text}", "/", f"{text}*", "*"):
        world.run("why", "old", "--all", asked)
    world.run("diff", "old", "new")
    world.run("diff", "new", "old", "--json")
    world.run("size", "old", "--max", "1B")
    world.run("report", "old", "--against", "new", "--name", text, "-o", "page.html")
    record = {"schema": 1, "mrenclave": text, "mrsigner": None, "debuggable": True}
    inputs: dict[str, Any] = {
        "image": {"type": text},
        "initfs": {text: text},
        "config": {text: text},
    }
    other: dict[str, Any] = {**inputs, "config": {text: f"{text}x"}}
    for folder, of_it in ((old, inputs), (new, other)):
        _write(folder / "measurement.json", {**record, "inputs": of_it})
    world.run("diff", "old", "new")
    for entry in (
        {**file, "path": text},
        {**file, "path": path, "type": text},
        {**file, "path": path, "mode": text},
        {**file, "path": path, "size": text},
        {**file, "path": path, "provenance": {text: text}},
    ):
        _write(old / "manifest.json", {"schema": 1, "entries": [entry]})
        world.run("size", "old")
    _write(old / "manifest.json", {"schema": 1, "entries": entries})
    graphs: list[dict[str, Any]] = [
        {text: 1},
        {"schema": 1, "image": text, "edges": [{**edge, "reason": text}]},
    ]
    for broken in graphs:
        _write(old / "graph.json", {"missing": [], **broken})
        world.run("why", "old", "x")
    _write(old / "oci-layout", {})
    for layout in ({"manifests": [{"digest": text}]}, {text: []}):
        _write(old / "index.json", layout)
        world.run("diff", "old", "new")


def look_at_bills(world: World) -> None:
    """Paths, sources and edges of a manifest, and metadata among the files and of packages."""
    text, folder = world.text, world.path / "bill"
    name = text.replace("/", "_")
    metadata = f"Name: a\nVersion: 1\nLicense: {name}\nHome-page: http://x/{text}\n\n".encode()
    site, image = f"site{name}/a.dist-info", folder / "image"
    contents = {f"/{name}": b"x", f"/{site}/METADATA": metadata, "/etc/os-release": b"ID=x\n"}
    contents["/etc/os-release"] += f"VERSION_ID={name}\n".encode()
    entries: list[dict[str, Any]] = [{"mode": "0755", "path": "/", "type": "dir"}]
    for path, content in sorted(contents.items()):
        place = image / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        of = {"bom": text, "needed_by": [text], "version": text, "source": text}
        of = {**of, "package": "a"} if path == f"/{name}" else of
        sha256 = hashlib.sha256(content).hexdigest()
        file = {"mode": "0644", "sha256": sha256, "size": len(content), "type": "file"}
        entries.append({**file, "path": path, "provenance": of})
    control = f"Package: a\nVersion: {text}\nSource: {text} ({text})\nArchitecture: {text}\n"
    control += f"Maintainer: {text}\nHomepage: http://x/{text}\n"
    status = image / "var/lib/dpkg/status.d/a"
    status.parent.mkdir(parents=True)
    status.write_bytes(control.replace(text, name).encode())
    manifest = {"entries": entries, "schema": 1}
    edge = {"from": f"/{name}", "to": f"/{site}/METADATA", "reason": "needed", "name": text}
    edge["rule"] = text
    graph = {"schema": 1, "image": image_digest(manifest), "edges": [edge], "missing": []}
    _write(folder / "manifest.json", manifest)
    _write(folder / "graph.json", graph)
    for format_ in ("cyclonedx", "spdx", "slsa"):
        told = world.run("sbom", "bill", "--format", format_, "--name", text)
        assert told.startswith("{\n") and told.endswith("\n}\n"), told
    for entry in (
        {**entries[1], "path": text},
        {**entries[1], "type": text},
        {**entries[1], "sha256": text},
        {**entries[1], "provenance": {"package": text}},
        {**entries[1], "provenance": {text: 1, "source": 1}},
    ):
        _write(folder / "manifest.json", {"entries": [entry], "schema": 1})
        world.run("sbom", "bill", "--format", "slsa")
    _write(folder / "manifest.json", manifest)
    _write(folder / "graph.json", {**graph, "image": text})
    world.run("sbom", "bill", "--format", "cyclonedx")


def look_at_records(world: World) -> None:
    """What programs of an image asked for, of which some is in the root, and some in the image."""
    text = world.text
    name = text.replace("/", "_")
    image, root = world.path / "traced", world.path / "root"
    for folder, file in ((image, f"bin/{name}"), (root, f"etc/{name}")):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_bytes(b"x")
    by = f"/bin/{name}"
    ask = {"by": by, "found": False, "kind": "open", "path": f"/etc/{name}"}
    record: dict[str, Any] = {"schema": 1, "runs": 1, "incomplete": False}
    _write(world.path / "record", {**record, "asks": [ask, {**ask, "path": f"/none/{name}"}]})
    for options in ((), ("--unused",), ("--json",), ("--unused", "--json")):
        world.run("trace", "traced", "record", "--root", "root", *options)
    for asks in (
        [{**ask, "path": text}],
        [{**ask, "kind": text}],
        [{**ask, "found": text}],
        [{text: text}],
        {text: text},
    ):
        _write(world.path / "record", {**record, "asks": asks})
        world.run("trace", "traced", "record", "--root", "root")


def _write(path: Any, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
