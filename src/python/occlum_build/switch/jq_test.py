from __future__ import annotations

import copy
from typing import Any

import pytest

from occlum_build.sgx.config import default_config
from occlum_build.sgx.config.jsontext import plain
from occlum_build.switch.jq import (
    ADD,
    ASSIGN,
    DELETE,
    Edit,
    Unread,
    apply,
    call_of,
    edits_of,
    merge_patch,
)

DEFAULT: Any = plain(default_config())


def edits(text: str, *options: str) -> list[Edit | Unread]:
    call = call_of([*options, text, "Occlum.json"])
    assert call is not None and call.files == ("Occlum.json",)
    return list(edits_of(call))


def patch(text: str, *options: str) -> Any:
    document = copy.deepcopy(DEFAULT)
    for edit in edits(text, *options):
        assert isinstance(edit, Edit), edit
        apply(document, edit)
    return merge_patch(DEFAULT, document)


def test_a_chain() -> None:
    text = """.resource_limits.user_space_size = "1MB" |
        .resource_limits.max_num_of_threads=64 | .feature.enable_edmm = true"""
    assert patch(text) == {
        "resource_limits": {"user_space_size": "1MB", "max_num_of_threads": 64},
        "feature": {"enable_edmm": True},
    }


def test_lists_are_added_to() -> None:
    assert patch('.env.default += ["A=b|c"] | .env.default += [ "D=e" ]') == {
        "env": {"default": ["OCCLUM=yes", "A=b|c", "D=e"]}
    }
    mount = {"target": "/tmp", "type": "ramfs"}
    found = patch('.mount+=[{"target": "/tmp", "type": "ramfs"}]')
    assert found == {"mount": [*DEFAULT["mount"], mount]}


def test_what_is_as_it_was_is_no_part_of_a_patch() -> None:
    assert patch('.resource_limits.user_space_size = "300MB"') == {}
    assert patch(".metadata.debuggable = 1") == {"metadata": {"debuggable": 1}}


def test_a_section_that_is_replaced_loses_its_other_keys() -> None:
    assert patch('.process = {"default_heap_size": "1MB"}') == {
        "process": {
            "default_stack_size": None,
            "default_heap_size": "1MB",
            "default_mmap_size": None,
        }
    }
    assert patch("del(.metadata.family_id)") == {"metadata": {"family_id": None}}


def test_variables_and_options() -> None:
    found = edits(".a = $N | .b = $T", "--argjson", "N", "48", "-r", "--arg", "T", "x")
    assert found == [Edit(ASSIGN, ("a",), 48), Edit(ASSIGN, ("b",), "x")]


@pytest.mark.parametrize("value", [None, "x"])
def test_a_variable_whose_value_cannot_be_told(value: str | None) -> None:
    call = call_of(["--argjson", "N", value, ".a = $N | .b = 1", "Occlum.json"])
    assert call is not None
    assert list(edits_of(call)) == [Unread(".a = $N"), Edit(ASSIGN, ("b",), 1)]


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ('."a b".c = null', Edit(ASSIGN, ("a b", "c"), None)),
        (".a[0].b = 1", Edit(ASSIGN, ("a", 0, "b"), 1)),
        ('.["a"] += {}', Edit(ADD, ("a",), {})),
        ("del(.a[1])", Edit(DELETE, ("a", 1))),
    ],
)
def test_paths(text: str, edit: Edit) -> None:
    assert edits(text) == [edit]


@pytest.mark.parametrize(
    "text",
    [
        ".a |= . + 1",
        ".a == 1",
        ".a = .b",
        ".a = $GONE",
        ".a = {b: 1}",
        ".a = 'x'",
        ".a",
        "a = 1",
        "if .a then .b else .c end",
        ".a" * 20 + " = 1",
        ".a = 1 // 2",
        "del(.a, .b)",
        "[.a = 1",
    ],
)
def test_what_is_not_understood(text: str) -> None:
    assert edits(text) == [Unread(text)]


def test_a_chain_with_a_part_that_is_not_understood() -> None:
    assert edits(".a = 1 | map(.) | .b = 2") == [
        Edit(ASSIGN, ("a",), 1),
        Unread("map(.)"),
        Edit(ASSIGN, ("b",), 2),
    ]


@pytest.mark.parametrize("words", [[], [None, "Occlum.json"], ["--other", "."], ["--arg", "a"]])
def test_calls_that_cannot_be_told(words: list[str | None]) -> None:
    assert call_of(words) is None


@pytest.mark.parametrize(
    "text",
    [
        ".entry_points.a = 1",
        ".mount[7] = 1",
        ".gone[0] = 1",
        '.process.default_heap_size += "1"',
        ".mount[0][1] = 2",
    ],
)
def test_edits_that_jq_refuses(text: str) -> None:
    (edit,) = edits(text)
    assert isinstance(edit, Edit)
    document = copy.deepcopy(DEFAULT)
    with pytest.raises(ValueError, match=" "):
        apply(document, edit)
    assert document == DEFAULT


def test_keys_that_are_not_there_yet() -> None:
    assert patch(".a.b.c = 1 | .a.d = 2 | .e = null | .e.f += [1] | del(.g.h)") == {
        "a": {"b": {"c": 1}, "d": 2},
        "e": {"f": [1]},
    }
