"""Validates JSON for tests: that part of JSON Schema (2020-12) which our schemas use."""

from __future__ import annotations

import json
import pkgutil
import re
from typing import Any

_TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
_KNOWN = {
    "$defs", "$ref", "$schema", "additionalProperties", "const", "description", "items", "minItems",
    "minLength", "minimum", "oneOf", "pattern", "properties", "required", "title", "type",
}  # fmt: skip


def check_manifest(manifest: Any) -> None:
    """Raise ValueError, with the place, when a manifest is not as manifest.schema.json says."""
    check_json(manifest, "occlum_build.image", "manifest.schema.json")


def check_json(value: Any, package: str, file: str) -> None:
    """Raise ValueError, with the place, when a value is not as a package's schema file says."""
    schema = json.loads(pkgutil.get_data(package, file) or b"")
    _check(value, schema, schema, "$")


def _check(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str) -> None:
    def need(holds: bool, keyword: str) -> None:
        if not holds:
            raise ValueError(f"{place}: {keyword} does not hold for {value!r}")

    need(schema.keys() <= _KNOWN, "a keyword that is not supported")
    if "$ref" in schema:
        _check(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, place)
    need(isinstance(value, _TYPES[schema["type"]]) if "type" in schema else True, "type")
    need(value == schema.get("const", value), "const")
    if isinstance(value, str):
        need(len(value) >= schema.get("minLength", 0), "minLength")
        need(re.search(schema.get("pattern", ""), value) is not None, "pattern")
    elif isinstance(value, int):
        need(value >= schema.get("minimum", value), "minimum")
    elif isinstance(value, list):
        need(len(value) >= schema.get("minItems", 0), "minItems")
        for number, item in enumerate(value):
            _check(item, schema.get("items", {}), root, f"{place}[{number}]")
    elif isinstance(value, dict):
        properties = schema.get("properties", {})
        need(set(schema.get("required", ())) <= value.keys(), "required")
        need(schema.get("additionalProperties", True) or value.keys() <= properties.keys(), "keys")
        for key in value.keys() & properties.keys():
            _check(value[key], properties[key], root, f"{place}.{key}")
    if "oneOf" in schema:
        need(sum(_holds(value, one, root, place) for one in schema["oneOf"]) == 1, "oneOf")


def _holds(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str) -> bool:
    try:
        _check(value, schema, root, place)
    except ValueError:
        return False
    return True
