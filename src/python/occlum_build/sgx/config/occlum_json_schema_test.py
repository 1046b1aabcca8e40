"""occlum_json.schema.json takes what `check` takes without a warning, as far as a schema tells."""

from __future__ import annotations

import contextlib
import copy
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from occlum_build.errors import OcclumError
from occlum_build.sgx.config import check, default_config, later_mounts, parse_json, schema
from occlum_build.sgx.config.jsontext import plain

VECTORS = Path(__file__).parents[5] / "testprojects" / "vectors" / "gen_conf"
CASES = json.loads((VECTORS / "index.json").read_bytes())
SCHEMA: dict[str, Any] = json.loads(
    pkgutil.get_data("occlum_build.sgx.config", "occlum_json.schema.json") or b""
)
VALIDATOR = Draft7Validator(SCHEMA)
DEFAULT: Any = plain(default_config())
# What a schema does not see: sums, bounds of sizes, keys that are given twice, which layer is the
# image, and that something counts for nothing.
UNSEEN = frozenset(
    {
        *("config-cache-size", "config-disk-size", "config-ignored", "config-limits"),
        *("config-repeated-key", "config-root", "libos-mount", "libos-user-space"),
        *("libos-mac", "sign-page", "sign-size", "sign-stack", "sign-threads"),
    }
)
SECTIONS = SCHEMA["properties"]
MOUNT = SCHEMA["definitions"]["mount"]["properties"]


def codes(data: bytes, *, edmm: bool = False, strict: bool = True) -> set[str]:
    try:
        check(parse_json(data, "Occlum.json"), edmm=edmm, strict=strict)
    except OcclumError as error:
        return {problem.code for problem in error.problems}
    return set()


def mistakes(data: bytes) -> list[str]:
    return [f"{list(one.path)}: {one.message}" for one in VALIDATOR.iter_errors(json.loads(data))]


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    ("properties", "known"),
    [
        (SECTIONS, schema._SECTIONS),
        (SECTIONS["resource_limits"]["properties"], schema._LIMITS),
        (SECTIONS["process"]["properties"], schema._PROCESS),
        (SECTIONS["metadata"]["properties"], schema._METADATA),
        (SECTIONS["feature"]["properties"], schema._FEATURE),
        (SCHEMA["definitions"]["kssId"]["properties"], schema._KSS_ID),
        (MOUNT, schema._MOUNT),
        (MOUNT["options"]["properties"], schema._OPTIONS),
    ],
)
def test_it_has_the_keys_of_the_checker(properties: dict[str, Any], known: tuple[str, ...]) -> None:
    assert sorted(properties) == sorted(known)
    assert all(value.get("description") for value in properties.values())


def test_it_has_the_types_of_mounts() -> None:
    assert MOUNT["type"]["enum"] == list(later_mounts.MOUNT_TYPES)


def test_its_defaults_are_occlum_s() -> None:
    for section, value in SECTIONS.items():
        for name, one in value.get("properties", {}).items():
            found, has = DEFAULT[section].get(name), name in DEFAULT[section]
            assert ("default" in one, one.get("default")) == (has, found), name
        if "properties" not in value:
            assert value["default"] == DEFAULT[section]
    assert mistakes(json.dumps(DEFAULT).encode()) == []


def test_files_of_the_corpus() -> None:
    right = wrong = 0
    for name, case in CASES.items():
        data = (VECTORS / f"{name}.in.json").read_bytes()
        try:
            found = mistakes(data)
        except ValueError:
            continue
        told = codes(data, edmm=case["edmm_env"] == "YES")
        if not told:
            right += 1
            assert found == [], name
        if not found:
            # Python's reader takes more than JSON, and 1.0 for a whole number; sizes have bounds.
            assert told <= UNSEEN | {"json-syntax", "config-type", "config-size"}, name
        else:
            wrong += 1
            assert told, name
    assert right > 15 and wrong > 40


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else items:
        yield from paths(item, (*path, key))


def changed(path: tuple[Any, ...], value: Any) -> Any:
    """The default with another value at a path; without the key for `...`."""
    if not path:
        return value
    result = copy.deepcopy(DEFAULT)
    at = result
    for step in path[:-1]:
        at = at[step]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return result


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 3, -1, 70000, 4294967296, 0.5, "", "x", "/x", "300MB", " +1 KB "),
    *("300M", "1.5GB", "0x1f", "0x" + "f" * 17, [], ["x"], ["/x"], [1], {}, {"x": 1}, "hostfs"),
)


@pytest.mark.parametrize("path", [one for one in paths(DEFAULT) if one])
def test_other_values_everywhere(path: tuple[Any, ...]) -> None:
    for value in (..., *VALUES):
        agree(json.dumps(changed(path, value)).encode())
    with contextlib.suppress(TypeError):  # of what is no object
        agree(json.dumps(changed((*path, "other"), 1)).encode())


def agree(data: bytes) -> None:
    told, found = codes(data), mistakes(data)
    if not told:
        assert found == [], data
    if not found:
        assert told <= UNSEEN, data


_TARGETS = st.sampled_from(["/", "/a", "b", 1])
_MOUNTS: st.SearchStrategy[Any] = st.deferred(
    lambda: st.fixed_dictionaries(
        {"type": st.sampled_from([*later_mounts.MOUNT_TYPES, "x"]), "target": _TARGETS},
        optional={
            "source": st.sampled_from(["./x", None, 1]),
            "options": st.fixed_dictionaries(
                {},
                optional={
                    "MAC": st.sampled_from(["", None, "-".join(["a0"] * 16), 1]),
                    "layers": st.one_of(st.none(), st.lists(_MOUNTS, max_size=2)),
                    "temporary": st.sampled_from([True, None]),
                    "cache_size": st.sampled_from(["1MB", None, "1M"]),
                    "disk_size": st.sampled_from(["5GB", None, 5]),
                    "other": st.just(1),
                },
            ),
        },
    )
)


@given(st.lists(_MOUNTS, max_size=2))
@settings(max_examples=300, deadline=None)
def test_mounts(mounts: list[Any]) -> None:
    agree(json.dumps({**DEFAULT, "mount": [*DEFAULT["mount"], *mounts]}).encode())
