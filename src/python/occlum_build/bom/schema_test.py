"""bom.schema.json takes what the parser takes, but for texts that look like other values."""

from __future__ import annotations

import json
import pkgutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from occlum_build.bom import parse
from occlum_build.bom.operations import bom_operations
from occlum_build.bom.parse import parse_bom
from occlum_build.bom.yaml_nodes import Node, Scalar, Sequence, parse_yaml
from occlum_build.errors import OcclumError, Report

VECTORS = Path(__file__).parents[4] / "testprojects/vectors/bom"
SCHEMA: dict[str, Any] = json.loads(pkgutil.get_data("occlum_build.bom", "bom.schema.json") or b"")
VALIDATOR = Draft7Validator(SCHEMA)
ENV = {"A": "x"}


def plain(node: Node) -> Any:
    """What an editor's YAML 1.2 makes of a document, as far as it tells types as we do."""
    if isinstance(node, Scalar):
        if node.is_null:
            return None
        if node.is_bool:
            return node.value.lower() == "true"
        return int(node.value, 0) if node.is_int else node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key.value: plain(value) for key, value in node.items}


def is_taken(data: bytes) -> bool:
    """Whether parser and planner find no mistake in the structure."""
    report = Report()
    try:
        bom_operations(parse_bom(data, "f"), "ws", ENV, report)
    except OcclumError:
        return False
    return not report.errors


def mistakes(data: bytes) -> list[str]:
    return [one.message for one in VALIDATOR.iter_errors(plain(parse_yaml(data, "f")))]


def corpus() -> Iterator[tuple[str, bytes]]:
    for path in sorted(VECTORS.glob("*/input.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                content = tar.extractfile(member) if member.name.endswith(".yaml") else None
                if content:
                    yield f"{path.parent.name}/{member.name}", content.read()


def test_it_is_a_schema() -> None:
    Draft7Validator.check_schema(SCHEMA)


def test_it_has_the_keys_of_the_parser() -> None:
    keys = {"": SCHEMA, **SCHEMA["definitions"]}
    found = {name: tuple(one["properties"]) for name, one in keys.items() if "properties" in one}
    assert found == {
        "": parse.BOM_KEYS,
        "target": parse.TARGET_KEYS,
        "mkdir": parse.MKDIR_KEYS,
        "link": parse.LINK_KEYS,
        "copy": parse.COPY_KEYS,
        "file": parse.FILE_KEYS,
    }
    assert all(keys[name]["additionalProperties"] is False for name in found)


def test_every_key_is_described() -> None:
    for one in (SCHEMA, *SCHEMA["definitions"].values()):
        for name, value in one.get("properties", {}).items():
            assert value.get("description"), name


def test_boms_of_the_corpus() -> None:
    taken = refused = 0
    for name, data in corpus():
        try:
            found = mistakes(data)
        except OcclumError:  # no YAML, or keys that are given twice
            continue
        if is_taken(data):
            taken += 1
            # Some cases have a hash that no file has.
            assert [one for one in found if "{64}" not in one] == [], name
        elif not found:
            parse_bom(data, name)  # what is wrong is no matter of the structure
        else:
            refused += 1
    assert taken > 300 and refused > 5


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "includes:",
        "{includes: ~, excludes: null, targets: NULL}",
        "targets: [{target: /, mkdirs: [a, {path: b, mode: 1777}, {path: c, mode: '0755'}, '']}]",
        "targets: [{target: '', copy: [{from: a}, {from: a, dirs: ~, files: []}]}]",
        "targets: [{target: /, copy: [{files: [a, {name: b, autodep: false, rename: c/}]}]}]",
    ],
)
def test_what_is_right(text: str) -> None:
    assert is_taken(text.encode())
    assert mistakes(text.encode()) == []


WRONG = [
    "[]",
    "text",
    "~",
    "zzz: []",
    "targets: {}",
    "includes: base.yaml",
    "includes: [[a]]",
    "includes: [~]",
    "includes: [123]",
    'includes: ["a\\0b"]',
    "excludes: [true]",
    "excludes: ['!']",
    "excludes: ['+ a']",
    "excludes: ['/']",
    "excludes: ['']",
    f"excludes: [{'a' * 4097}]",
    "targets: [{}]",
    "targets: [{target: }]",
    "targets: [{target: [/]}]",
    "targets: [{target: true}]",
    "targets: [{target: /, mkdir: [a]}]",
    "targets: [{target: /, mkdirs: [/a]}]",
    "targets: [{target: /, mkdirs: [[a]]}]",
    "targets: [{target: /, mkdirs: [{mode: '0755'}]}]",
    "targets: [{target: /, mkdirs: [{path: a, mode: '1888'}]}]",
    "targets: [{target: /, mkdirs: [{path: a, mode: -755}]}]",
    "targets: [{target: /, mkdirs: [{path: a, mode: 17777}]}]",
    "targets: [{target: /, mkdirs: [{path: a, mode: true}]}]",
    "targets: [{target: /, createlinks: [{src: a}]}]",
    "targets: [{target: /, createlinks: [{src: '', linkname: a}]}]",
    "targets: [{target: /, createlinks: [{src: a, linkname: /b}]}]",
    "targets: [{target: /, copy: [{}]}]",
    "targets: [{target: /, copy: [{dirs: ~}]}]",
    "targets: [{target: /, copy: [{from: ''}]}]",
    "targets: [{target: /, copy: [{dirs: ['']}]}]",
    "targets: [{target: /, copy: [{files: a}]}]",
    "targets: [{target: /, copy: [{files: [a/]}]}]",
    "targets: [{target: /, copy: [{files: ['']}]}]",
    "targets: [{target: /, copy: [{files: [[a]]}]}]",
    "targets: [{target: /, copy: [{files: [{hash: a}]}]}]",
    "targets: [{target: /, copy: [{files: [{name: a, autodep: 1}]}]}]",
    "targets: [{target: /, copy: [{files: [{name: a, autodep: 'no'}]}]}]",
    "targets: [{target: /, copy: [{files: [{name: a, hash: 12}]}]}]",
    "targets: [{target: /, copy: [{files: [{name: a, rename: /b}]}]}]",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong(text: str) -> None:
    assert not is_taken(text.encode())
    assert mistakes(text.encode())


def test_a_hash_that_no_file_has() -> None:
    assert mistakes(b"targets: [{target: /, copy: [{files: [{name: a, hash: abc}]}]}]")


_TEXTS = st.sampled_from(
    [
        "a",
        "b/c",
        "d/",
        "/e",
        "",
        "*.so",
        "..",
        ".",
        "$NAME",
        "${GONE:-x}",
        "+ a",
        "!",
        "\0",
        "é",
        "/",
    ]
)
_VALUES = st.one_of(st.none(), st.booleans(), st.integers(-1, 9), _TEXTS)
_ANY = st.one_of(_VALUES, st.lists(_VALUES, max_size=2))


def _mappings(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    right = st.fixed_dictionaries({}, optional=values)
    wrong = st.dictionaries(st.sampled_from([*values, "other"]), _ANY, max_size=2)
    return st.one_of(right, right, right, wrong)


def _lists(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(items, max_size=2), st.lists(items, max_size=2), _ANY)


_HASHES = st.sampled_from(["ab" * 32, None, True, 1])
_MODES = st.sampled_from(["1777", "0755", "77", "u=rwx", "0o777", None, True])
_FILES = _mappings(name=_TEXTS, hash=_HASHES, autodep=_VALUES, rename=_TEXTS)
_COPIES = _mappings(
    **{"from": _TEXTS, "dirs": _lists(_TEXTS), "files": _lists(st.one_of(_TEXTS, _FILES))}
)
_TARGETS = _mappings(
    target=_TEXTS,
    mkdirs=_lists(st.one_of(_TEXTS, _mappings(path=_TEXTS, mode=_MODES))),
    createlinks=_lists(_mappings(src=_TEXTS, linkname=_TEXTS)),
    copy=_lists(_COPIES),
)
BOMS = _mappings(includes=_lists(_TEXTS), excludes=_lists(_TEXTS), targets=_lists(_TARGETS))


@given(BOMS)
@settings(max_examples=1000, deadline=None)
def test_schema_and_parser_agree(bom: Any) -> None:
    data = json.dumps(bom).encode()
    found = mistakes(data)
    if is_taken(data) and "" not in (bom.get("includes") or ()):  # that is told when it is loaded
        assert found == []
    if not found:
        parse_bom(data, "f")
