from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.sgx.config.jsonbytes import float_text, pretty, sort_keys


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (-1.5, "-1.5"),
        (123456.5, "123456.5"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e16"),
        (1234567890123456.0, "1234567890123456.0"),
        (12345678901234568.0, "1.2345678901234568e16"),
        (1e-5, "0.00001"),
        (1.5e-5, "0.000015"),
        (1e-6, "1e-6"),
        (1e22, "1e22"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e308"),
    ],
)
def test_floats_as_ryu_writes_them(number: float, expected: str) -> None:
    assert float_text(number) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_the_same(number: float) -> None:
    assert struct.pack("<d", float(float_text(number))) == struct.pack("<d", number)


def test_layout() -> None:
    document = {"b": [], "a": {}, "c": [1, None, True, {"d": "x"}]}
    assert pretty(document) == (
        b'{\n  "b": [],\n  "a": {},\n  "c": [\n    1,\n    null,\n    true,\n'
        b'    {\n      "d": "x"\n    }\n  ]\n}'
    )


def test_strings() -> None:
    assert pretty('"\\\b\f\n\r\t\x00\x1f/\x7fé\u2028😀') == (
        '"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f/\x7fé\u2028😀"'.encode()
    )


def test_keys_are_sorted_by_their_bytes_at_every_level() -> None:
    document = {"b": 1, "\U0001f600": 2, "\uffff": 3, "A": [{"z": 1, "y": 2}]}
    result = sort_keys(document)
    assert list(result) == sorted(document, key=lambda key: key.encode("utf-8"))
    assert list(result["A"][0]) == ["y", "z"]
