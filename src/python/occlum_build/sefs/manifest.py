"""The manifest of a tree: its modes, and the digest that salts the keys of an image."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import read_descriptor
from occlum_build.files.shape import ListOf, check_shape
from occlum_build.sefs.fs_format import FileType
from occlum_build.sefs.hostio import READ_FLAGS, SOURCE_FLAGS, opened, os_errors, place_of
from occlum_build.sefs.tree import Tree, TreeEntry
from occlum_build.shown import quoted

SCHEMA = 1
_TYPES = {file_type.name.lower() for file_type in FileType}
_SHAPE = {"schema": int, "entries": ListOf({"path": str, "type": str, "mode": str})}
_MODE = re.compile("[0-7]{3,5}")
_READ_SIZE = 1 << 18


@dataclass(frozen=True)
class Manifest:
    """`modes` of all files and directories by path ("a/b", without the root), and the SHA-256
    (32 bytes) of the canonical JSON without provenance."""

    modes: Mapping[str, int]
    digest: bytes


def read_manifest(path: Path) -> Manifest:
    """The manifest of a JSON file `{"schema": 1, "entries": [...]}`.

    Raises OcclumError `sefs-manifest` when it is something else, `sefs-io`.
    """
    with _told(path):
        document = _document(path)
        modes = {}
        for entry in document["entries"]:
            inside, mode = entry["path"].strip("/"), _mode_of(entry)
            if inside and entry["type"] != "symlink":
                modes[inside] = mode
    return Manifest(modes, _digest(document))


def manifest_entries(path: Path) -> list[Mapping[str, Any]]:
    """The entries of the manifest in a JSON file, as they stand there; raises as read_manifest."""
    with _told(path):
        entries: list[Mapping[str, Any]] = _document(path)["entries"]
        for entry in entries:
            _mode_of(entry)
    return entries


def _document(path: Path) -> Any:
    name = str(path)
    with opened(path, READ_FLAGS | os.O_NONBLOCK) as descriptor:
        text = read_descriptor(descriptor, path, MANIFEST_BYTES, code="sefs-io")
    document = load_json(text, name, code="sefs-manifest")
    check_shape(document, _SHAPE, name, code="sefs-manifest")
    if document["schema"] != SCHEMA:
        raise _wrong(f"its schema is {document['schema']}, not {SCHEMA}")
    return document


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of what is in a manifest say that it is none."""
    try:
        yield
    except OcclumError as error:
        if error.code != "sefs-manifest":
            raise
        found = error.problems[0]
        place = replace(found.place, file=place_of(path).file) if found.place else place_of(path)
        message = f"not a manifest: {found.message}"
        raise OcclumError("sefs-manifest", message, place=place) from None


def tree_digest(tree: Tree) -> bytes:
    """The digest of the manifest that the tree would have; the contents of its files are read."""
    entries = sorted((_describe(tree, entry) for entry in tree.entries), key=lambda e: e["path"])
    return _digest({"schema": SCHEMA, "entries": entries})


def _mode_of(entry: Mapping[str, Any]) -> int:
    if entry["type"] not in _TYPES:
        raise _wrong(f"{quoted(entry['path'])} has the type {quoted(entry['type'])}")
    if not _MODE.fullmatch(entry["mode"]):
        raise _wrong(f"{quoted(entry['path'])} has the mode {quoted(entry['mode'])}")
    return int(entry["mode"], 8)


def _wrong(message: str) -> OcclumError:
    return OcclumError("sefs-manifest", message)


def _describe(tree: Tree, entry: TreeEntry) -> dict[str, Any]:
    host_path = tree.host_path(entry)
    described: dict[str, Any] = {
        "path": "/" + entry.path.decode("utf-8"),
        "type": entry.type.name.lower(),
        "mode": f"{entry.mode:04o}",
    }
    if entry.type is FileType.FILE:
        described["size"], described["sha256"] = _content(host_path)
    elif entry.type is FileType.SYMLINK:
        with os_errors(host_path):
            described["target"] = os.readlink(host_path).decode("utf-8", "surrogateescape")
    return described


def _content(path: bytes) -> tuple[int, str]:
    """Size and hex SHA-256 of a file."""
    digest, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(_READ_SIZE))
    with opened(path, SOURCE_FLAGS) as descriptor:
        while count := os.readv(descriptor, [buffer]):
            digest.update(buffer[:count])
            size += count
    return size, digest.hexdigest()


def _digest(document: Mapping[str, Any]) -> bytes:
    entries = [
        {key: value for key, value in entry.items() if key != "provenance"}
        for entry in document["entries"]
    ]
    text = json.dumps(
        {**document, "entries": entries},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
