from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError, Place
from occlum_build.sgx.config.jsontext import (
    MAX_BYTES,
    MAX_DEPTH,
    Array,
    Object,
    Scalar,
    parse_json,
    plain,
)


def value(text: str) -> object:
    return plain(parse_json(text.encode(), "f"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (' {"a" : [ 1 , true,false ,null], "b":{}}\r\n', {"a": [1, True, False, None], "b": {}}),
        ('"\\u00e9\\ud83d\\ude00\\/\\b\\n\\\\\\""', 'é😀/\b\n\\"'),
        ('"\x7f日本"', "\x7f日本"),
        ("[]", []),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0", 0),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-0", "-0.0"),
        ("18446744073709551616", "1.8446744073709552e+19"),
        ("-9223372036854775809", "-9.223372036854776e+18"),
        ("1.0", "1.0"),
        ("1E2", "100.0"),
        ("1e-9999", "0.0"),
        ("9" * 300, "1e+300"),
    ],
)
def test_numbers_that_are_floats(text: str, expected: str) -> None:
    number = value(text)
    assert isinstance(number, float)
    assert repr(number) == expected


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("", 1, 1, "the end of the file"),
        ('{"a":\n  }', 2, 3, "expected a value"),
        ("[1,\n 2,]", 2, 4, "expected a value"),
        ("[1 2]", 1, 4, "expected"),
        ("{a: 1}", 1, 2, "a key in double quotes"),
        ("{'a': 1}", 1, 2, "double quotes"),
        ('{"a" 1}', 1, 6, '":"'),
        ('{"a": 1,}', 1, 9, "a key"),
        ('{"a": 1', 1, 8, "the end of the file"),
        ("[] []", 1, 4, "text after"),
        ("[01]", 1, 3, "expected"),
        ("[1.]", 1, 3, "expected"),
        ("[+1]", 1, 2, "expected a value"),
        ("[-]", 1, 2, "expected a value"),
        ("[trueish]", 1, 2, "expected a value"),
        ("[NaN]", 1, 2, "NaN"),
        ("[-Infinity]", 1, 2, "Infinity"),
        ("[1, // two\n2]", 1, 5, "no comments"),
        ("\ufeff{}", 1, 1, "byte order mark"),
        ('["é\n"]', 1, 4, "control character"),
        ('["é\t"]', 1, 4, "'\\t'"),
        ('["a\\x"]', 1, 4, "not a JSON escape"),
        ('["\\u12G4"]', 1, 3, "not a JSON escape"),
        ('["abc', 1, 2, "closing quote"),
        ('["a\\', 1, 4, "not a JSON escape"),
        ('["\\ud800"]', 1, 2, "lone surrogate"),
        ('["\\ude00\\ud83d"]', 1, 2, "lone surrogate"),
        ('["\\ud83d\\u0041"]', 1, 2, "lone surrogate"),
    ],
)
def test_syntax_errors_have_their_place(text: str, line: int, column: int, part: str) -> None:
    with pytest.raises(OcclumError) as caught:
        value(text)
    problem = caught.value.problems[0]
    assert problem.code == "json-syntax"
    assert problem.place == Place("f", line, column)
    assert part in str(problem)


@pytest.mark.parametrize(
    "data", [b'{"a":\n "\xff"}', b'{"a":\n "\xc0\x80"}', b'{"a":\n "\xed\xa0\x80"}']
)
def test_text_that_is_not_utf8(data: bytes) -> None:
    with pytest.raises(OcclumError) as caught:
        parse_json(data, "f")
    assert caught.value.problems[0].code == "json-encoding"
    assert caught.value.problems[0].place == Place("f", 2, 3)


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 400, "9" * 100_000])
def test_numbers_out_of_range(text: str) -> None:
    with pytest.raises(OcclumError) as caught:
        value(f"[{text}]")
    assert caught.value.code == "json-number"
    assert caught.value.problems[0].place == Place("f", 1, 2)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(opening: str, closing: str) -> None:
    value(opening * (MAX_DEPTH - 1) + "[]" + closing * (MAX_DEPTH - 1))
    for text in (opening * MAX_DEPTH + "[]" + closing * MAX_DEPTH, opening * 100_000):
        with pytest.raises(OcclumError) as caught:
            value(text)
        assert caught.value.code == "json-depth"


def test_size_is_bounded() -> None:
    assert value("1" + " " * (MAX_BYTES - 1)) == 1
    with pytest.raises(OcclumError) as caught:
        value(" " * 10_000_000)
    assert caught.value.code == "json-size"


def test_nodes_know_their_place_and_repeated_keys() -> None:
    document = parse_json(b'{\n "a": [1],\n "b": 2, "a": [\n  true]}', "f")
    assert isinstance(document, Object)
    assert [(key.name, key.place.line) for key in document.repeated] == [("a", 3)]
    items = document.get("a")
    assert isinstance(items, Array)
    assert items.items == (Scalar(Place("f", 4, 3), True, "true"),)
    assert document.get("c") is None


def test_values_written_otherwise_are_not_equal() -> None:
    one, true, float_one = (parse_json(text, "f") for text in (b"1", b"true", b"1.0"))
    assert one != true
    assert one != float_one
    assert one == parse_json(b"1", "f")
