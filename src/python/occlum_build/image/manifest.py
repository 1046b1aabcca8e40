"""The manifest: the image's entries as canonical JSON, and the digest that names the image.

docs/manifest.md describes it, image/manifest.schema.json is its JSON schema.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from occlum_build.bom.names import printable
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry

SCHEMA_VERSION = 1


def manifest_of(entries: Iterable[Entry], sha256: Callable[[str], str]) -> dict[str, Any]:
    """The manifest of planned entries; `sha256` gives the hex digest of a file by its source."""
    by_path = {entry.path: entry for entry in entries}
    root = by_path.pop("", None)
    described = [_describe(by_path[path], sha256) for path in sorted(by_path)]
    first = {"path": "/", "type": DIR, "mode": _mode(root.mode if root else 0o755)}
    return {"schema": SCHEMA_VERSION, "entries": [first, *described]}


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys, no blanks and no line end: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def without_provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What of a manifest makes the image's identity."""
    entries = [
        {key: value for key, value in entry.items() if key != "provenance"}
        for entry in manifest["entries"]
    ]
    return {**manifest, "entries": entries}


def image_digest(manifest: Mapping[str, Any]) -> str:
    """The hex SHA-256 of the canonical manifest, its provenance left out."""
    return hashlib.sha256(canonical_json(without_provenance(manifest))).hexdigest()


def _describe(entry: Entry, sha256: Callable[[str], str]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "path": "/" + entry.path,
        "type": entry.kind,
        "mode": _mode(entry.mode),
        "provenance": _provenance(entry),
    }
    if entry.kind == FILE:
        described["size"] = entry.size
        described["sha256"] = sha256(entry.source)
    elif entry.kind == SYMLINK:
        described["target"] = entry.target
    return described


def _provenance(entry: Entry) -> dict[str, Any]:
    provenance: dict[str, Any] = {"bom": printable(str(entry.origin.place))}
    if entry.source:
        provenance["source"] = printable(entry.source)
    if entry.origin.chain:
        provenance["needed_by"] = [printable(link) for link in entry.origin.chain]
    return provenance


def _mode(mode: int) -> str:
    return f"{mode:04o}"
