"""What an earlier build left, `measurement.json` and `manifest.json`: it may be anything by now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MANIFEST_BYTES, MEASUREMENT_BYTES
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import read_file
from occlum_build.files.shape import AnyOf, ListOf, MapOf, check_shape

MEASUREMENT, MANIFEST = "measurement.json", "manifest.json"
SCHEMA = 1
_CODE = "measurement"
# What is read of a record and of a manifest; what else they have is not looked at.
_RECORD = {
    "mrenclave": str,
    "mrsigner": AnyOf((str, None)),
    "debuggable": bool,
    "image_entries?": MapOf(str),
    "inputs": {
        "image": {"type": str},
        "initfs": MapOf(str),
        "config?": MapOf(object),
        "toolchain?": MapOf(object),
        "settings?": MapOf(object),
    },
}
_MANIFEST = {
    "entries": ListOf({"path": str, "type": str, "mode": str, "sha256?": str, "target?": str})
}


def from_bytes(data: bytes, name: str = MEASUREMENT) -> dict[str, Any]:
    """A record; OcclumError `measurement` for what is none. `name` is the file in errors."""
    value: dict[str, Any] = load_json(data, name, code=_CODE, is_unique=True)
    check_shape(value, {"schema": int}, name, code=_CODE)
    if value["schema"] != SCHEMA:
        message = f"its schema is {value['schema']}, not {SCHEMA}"
        place = Place(name, _line_of(data, b'"schema"'))
        hint = "a newer version wrote it" if value["schema"] > SCHEMA else ""
        raise OcclumError(_CODE, message, place=place, hint=hint)
    check_shape(value, _RECORD, name, code=_CODE)
    return value


def _line_of(data: bytes, key: bytes) -> int:
    """Where the last such key stands, as keys of the document itself are indented least."""
    lines = data.splitlines()
    found = [n for n, line in enumerate(lines, 1) if line.lstrip(b" \t{").startswith(key)]
    return found[-1] if found else 0


def manifest_from_bytes(data: bytes, name: str = MANIFEST) -> dict[str, Any]:
    """A manifest, of which `describe_entries` tells; OcclumError `measurement` for what is none."""
    value: dict[str, Any] = load_json(data, name, code=_CODE, is_unique=True)
    check_shape(value, _MANIFEST, name, code=_CODE)
    return value


@dataclass(frozen=True)
class Earlier:
    """What an earlier build left to compare with: None where there is none, or none of use.

    `unreadable`: why what is there cannot be compared with. That is told, and is no error: it
    is the new build that counts.
    """

    record: Mapping[str, Any] | None = None
    manifest: Mapping[str, Any] | None = None
    unreadable: tuple[str, ...] = ()


def read_earlier(directory: Path, *, with_manifest: bool = True) -> Earlier:
    """What measurement.json and manifest.json of a directory say; it need not have them."""
    record, manifest, unreadable = None, None, []
    try:
        record = _read(directory / MEASUREMENT, MEASUREMENT_BYTES, from_bytes)
    except OcclumError as error:
        unreadable.append(error.problems[0])
    try:
        if with_manifest:
            manifest = _read(directory / MANIFEST, MANIFEST_BYTES, manifest_from_bytes)
    except OcclumError as error:
        unreadable.append(error.problems[0])
    return Earlier(record, manifest, tuple(map(str, unreadable)))


def _read(
    path: Path, limit: int, parse: Callable[[bytes, str], dict[str, Any]]
) -> dict[str, Any] | None:
    if not os.path.lexists(path):
        return None
    return parse(read_file(path, limit, code=_CODE, name=path.name), path.name)
