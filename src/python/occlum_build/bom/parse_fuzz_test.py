"""Whatever the bytes are: a BOM, or an OcclumError with a place in the file."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from occlum_build.bom.model import Bom
from occlum_build.bom.operations import bom_operations
from occlum_build.bom.parse import parse_bom
from occlum_build.errors import OcclumError, Report

PIECES = st.sampled_from(
    [
        *"[]{},:?&*!|>'\"%@`#-~ \n\t\\.$/",
        "\n  ", "\n- ", ": ", "- ", "? ", "&a ", "*a", "!!str ", "!x ", "<<: ", "---\n", "...\n",
        "%YAML 1.2\n", "|\n ", ">-\n ", '"\\u', '"\\x0"', "é", "\ufeff", "\x85", "\u2028", "\0",
        "includes", "excludes", "targets", "target", "mkdirs", "createlinks", "src", "linkname",
        "copy", "from", "dirs", "files", "name", "hash", "autodep", "rename", "true", "null", "12",
        "$A", "${A", "${A:-b}", "..", "/../x", "a*",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=40).map("".join)

_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), PIECES
)
_KEYS = st.sampled_from(
    ["includes", "excludes", "targets", "target", "mkdirs", "createlinks", "src", "linkname",
     "copy", "from", "dirs", "files", "name", "hash", "autodep", "rename", "other"]
)  # fmt: skip
TREES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=20,
)


def _check(data: bytes) -> None:
    try:
        bom = parse_bom(data, "f")
    except OcclumError as error:
        for problem in error.problems:
            assert problem.code == "bom-invalid"
            assert problem.place is not None
            assert problem.place.file == "f"
        return
    assert isinstance(bom, Bom)
    bom_operations(bom, "ws", {"A": "/a"}, Report())


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_bytes(data: bytes) -> None:
    _check(data)


@given(TEXTS)
@example("targets: [{target: $A, copy: [{files: [{name: ${A, rename: /../x}]}]}]")
@settings(max_examples=600, deadline=None)
def test_texts_that_look_like_yaml(text: str) -> None:
    _check(text.encode())


@given(TREES)
@settings(max_examples=100, deadline=None)
def test_trees_of_any_shape(tree: object) -> None:
    _check(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"))


@given(TEXTS)
@settings(max_examples=200, deadline=None)
def test_texts_without_libyaml(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader", raising=False)
        _check(text.encode())
