"""Both formats against their official schemas, for tests."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from cyclonedx.schema._res import BOM_JSON, JSF, SPDX_JSON
from cyclonedx.schema.schema import SchemaVersion
from jsonschema import Draft7Validator, RefResolver
from spdx_tools.spdx.parser.jsonlikedict.json_like_dict_parser import JsonLikeDictParser
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

SPDX_SCHEMA = Path("testprojects/vectors/spdx/spdx-schema.json")


def check_cyclonedx(data: bytes) -> Any:
    """Its value, if the official schema of CycloneDX 1.6 holds."""
    schema = _json(BOM_JSON[SchemaVersion.V1_6])
    store = {
        f"http://cyclonedx.org/schema/{name}": _json(path)
        for name, path in (("spdx.schema.json", SPDX_JSON), ("jsf-0.82.schema.json", JSF))
    }
    document = json.loads(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        resolver = RefResolver(schema["$id"], schema, store=store)
        assert list(Draft7Validator(schema, resolver=resolver).iter_errors(document)) == []
    return document


def check_spdx(data: bytes) -> Any:
    """Its value, if the official schema of SPDX 2.3 and the checks of spdx-tools hold."""
    document = json.loads(data)
    assert list(Draft7Validator(_json(SPDX_SCHEMA)).iter_errors(document)) == []
    assert validate_full_spdx_document(JsonLikeDictParser().parse(document)) == []
    return document


def _json(path: Any) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))
