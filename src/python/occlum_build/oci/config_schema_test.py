"""config.json against the JSON schema of the OCI runtime specification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
from jsonschema import Draft4Validator, RefResolver

from occlum_build.checks.testing import root_of
from occlum_build.errors import Report
from occlum_build.oci.bundle import BundleSpec, container_of
from occlum_build.oci.config import config_json
from occlum_build.oci.rootfs import INSTANCE_PATH
from occlum_build.oci.runtimes import RUNTIMES

SCHEMAS = Path("testprojects/vectors/runtime_spec")
RUNE_SPEC = Path("testprojects/vectors/rune/rune_spec_config.json")
# What each runtime looks for.
ROOTFS = root_of(
    {
        f"/{INSTANCE_PATH}/build/lib/libocclum-libos.signed.so": b"",
        "/run/rune/enclave.signed.so": b"",
        "/run/rune/hello.aot": b"",
        "/run/rune/encl.bin": b"",
        "/run/rune/encl.ss": b"",
    }
)


@pytest.fixture(scope="module")
def validator() -> Draft4Validator:
    schemas = {path.name: json.loads(path.read_bytes()) for path in SCHEMAS.iterdir()}
    main = "config-schema.json"
    return Draft4Validator(schemas[main], resolver=RefResolver(main, schemas[main], store=schemas))


def _config(runtime: str) -> dict[str, Any]:
    spec = BundleSpec(
        runtime,
        ("/bin/app", "-v"),
        ("A=b",),
        runtime_args=("image=/app.eif", "memory=256") if runtime == "nitro" else None,
        annotations={"org.example.a": "b"},
        read_only=True,
    )
    report = Report()
    container = container_of(spec, ROOTFS, report)
    report.raise_errors()
    config = json.loads(config_json(container))
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_bundle(validator: Draft4Validator, runtime: str) -> None:
    assert list(validator.iter_errors(_config(runtime))) == []


def test_what_rune_spec_writes(validator: Draft4Validator) -> None:
    assert list(validator.iter_errors(json.loads(RUNE_SPEC.read_bytes()))) == []


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        ([], lambda config: config.pop("ociVersion")),
        (["process"], lambda config: config["process"].pop("cwd")),
        (["process", "args", 0], lambda config: config["process"].update(args=[1])),
        (["annotations", "a"], lambda config: config["annotations"].update(a=1)),
        (
            ["linux", "namespaces", 0],
            lambda config: config["linux"]["namespaces"][0].update(type="enclave"),
        ),
    ],
)
def test_the_schema_refuses(
    validator: Draft4Validator, path: list[Any], damage: Callable[[dict[str, Any]], object]
) -> None:
    config = _config("occlum")
    damage(config)
    assert [list(error.absolute_path) for error in validator.iter_errors(config)] == [path]
