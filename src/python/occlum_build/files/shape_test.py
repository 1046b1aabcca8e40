from __future__ import annotations

from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files.shape import AnyOf, ListOf, MapOf, check_shape

SHAPE = {
    "schema": int,
    "inputs": {"image": AnyOf((str, None)), "more?": MapOf(str)},
    "entries?": ListOf({"path": str, "any": object}),
}
GOOD = {"schema": 1, "inputs": {"image": None}, "entries": [{"path": "a", "any": [1]}], "new": 1}


def test_what_has_the_shape_passes() -> None:
    check_shape(GOOD, SHAPE, "x.json", code="c")
    check_shape({"schema": 1, "inputs": {"image": "i", "more": {"a": "b"}}}, SHAPE, "x", code="c")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "x.json: the document is a list, not an object"),
        ({}, "x.json: the document has no 'schema'"),
        ({**GOOD, "schema": True}, "x.json: schema is true or false, not a whole number"),
        ({**GOOD, "inputs": None}, "x.json: inputs is null, not an object"),
        ({**GOOD, "inputs": {}}, "x.json: inputs has no 'image'"),
        ({**GOOD, "inputs": {"image": 1}}, "x.json: inputs.image is a whole number, not a string"),
        (
            {**GOOD, "inputs": {"image": "i", "more": {"a": 1.5}}},
            "x.json: inputs.more.a is a number, not a string",
        ),
        ({**GOOD, "entries": {}}, "x.json: entries is an object, not a list"),
        ({**GOOD, "entries": [1]}, "x.json: entries[0] is a whole number, not an object"),
        ({**GOOD, "entries": [{"path": "a"}]}, "x.json: entries[0] has no 'any'"),
    ],
)
def test_another_shape_is_refused_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(OcclumError) as raised:
        check_shape(value, SHAPE, "x.json", code="c")
    assert (raised.value.code, str(raised.value)) == ("c", message)
