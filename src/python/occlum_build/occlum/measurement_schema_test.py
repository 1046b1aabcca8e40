"""measurement.json of each kind of build is as measurement.schema.json says."""

from __future__ import annotations

import json
import pkgutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from occlum_build.occlum.build import build
from occlum_build.occlum.configure import Settings
from occlum_build.occlum.inputs import BuildRequest

SCHEMA: dict[str, Any] = json.loads(
    pkgutil.get_data("occlum_build.occlum", "measurement.schema.json") or b""
)


def mistakes(value: Any) -> list[str]:
    return [
        f"{list(one.path)}: {one.message}" for one in Draft7Validator(SCHEMA).iter_errors(value)
    ]


def written(request: BuildRequest) -> Any:
    build(request)
    return json.loads((request.instance / "measurement.json").read_bytes())


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)


def test_records_of_builds(build_request: BuildRequest, image_key: Path, tmp_path: Path) -> None:
    first = written(build_request)
    unsigned = written(replace(build_request, signer=None))
    encrypted = written(replace(build_request, image_key=image_key))
    (build_request.instance / "image").rename(tmp_path / "image")
    prebuilt = written(replace(build_request, image_key=image_key, force=True))

    assert unsigned["mrsigner"] is None and "mac" in prebuilt["inputs"]["image"]
    for one in (first, unsigned, encrypted, prebuilt):
        assert mistakes(one) == []


def test_a_file_of_what_is_expected(build_request: BuildRequest, tmp_path: Path) -> None:
    path = tmp_path / "app.measurement.json"
    build(replace(build_request, expected_measurement=path, update_expected=True))
    value = json.loads(path.read_bytes())
    assert value["image_entries"] and mistakes(value) == []
    assert mistakes({**value, "mrsigner": None}) == []
    assert mistakes({**value, "image_entries": {"bin": "dir 0755"}})
    assert mistakes({**value, "image_entries": {"/bin": "dir"}})


@pytest.mark.parametrize("mode", ["SIM", "HYPER"])
def test_records_of_other_modes(build_request: BuildRequest, mode: str) -> None:
    settings = Settings(sgx_mode=mode, edmm=True)
    assert mistakes(written(replace(build_request, settings=settings))) == []


def test_what_is_no_record(build_request: BuildRequest) -> None:
    right = written(build_request)
    for key in right:
        assert mistakes({name: value for name, value in right.items() if name != key})
        assert mistakes({**right, key: []})
    assert mistakes({**right, "other": 1})
    image = right["inputs"]["image"]
    assert mistakes({**right, "inputs": {**right["inputs"], "image": {**image, "mac": "00"}}})
