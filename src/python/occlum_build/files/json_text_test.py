from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.files.json_text import load_json


def refused(data: bytes) -> str:
    with pytest.raises(OcclumError) as raised:
        load_json(data, "x.json", code="some-code")
    assert raised.value.code == "some-code"
    return str(raised.value)


def test_json_is_read() -> None:
    assert load_json(b'{"a": [1, "\xc3\xa4\\u00e4", null]}', "x.json") == {"a": [1, "ää", None]}


def test_depth_is_bounded_without_recursion() -> None:
    assert load_json(b"[" * 64 + b"]" * 64, "x.json") is not None
    assert refused(b"\n" + b"[" * 65 + b"]" * 65) == "x.json:2: nested more than 64 levels deep"
    assert "levels deep" in refused(b"[" * 100_000)
    assert "levels deep" in refused(b'{"a":' * 100_000)


def test_brackets_in_strings_do_not_count() -> None:
    text = b'"' + b"[" * 1000 + b'\\"' + b"[" * 1000 + b'\\\\"'
    assert load_json(b"[" + text + b"]", "x.json") == ["[" * 1000 + '"' + "[" * 1000 + "\\"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": }', "x.json:1:7: not JSON: Expecting value"),
        (b"\xff", "x.json: not JSON: 'utf-8' codec"),
        (b"\xef\xbb\xbf{}", "x.json:1:1: not JSON: Expecting value"),
        (b"[NaN]", "x.json: not JSON: NaN is no number of JSON"),
        (b"[-Infinity]", "x.json: not JSON: -Infinity is no number of JSON"),
        (b'["\\ud800"]', "x.json: not JSON: a string has one half of a surrogate pair"),
        (b'{"\\udc00": 1}', "x.json: not JSON: a string has one half of a surrogate pair"),
        (b'["', "x.json:1:2: not JSON: "),
    ],
)
def test_what_is_no_json_is_refused(data: bytes, message: str) -> None:
    assert message in refused(data)


def test_a_key_that_an_object_has_twice() -> None:
    text = b'{"a": [{"b": 1, "c": 2, "b": 1}]}'
    assert load_json(text, "x.json") == {"a": [{"b": 1, "c": 2}]}
    with pytest.raises(OcclumError, match=r"^x\.json: an object has the key 'b' twice$"):
        load_json(text, "x.json", is_unique=True)
    assert load_json(b'[{"a": 1}, {"a": 2}]', "x.json", is_unique=True) == [{"a": 1}, {"a": 2}]


def test_the_digits_of_a_number_are_bounded() -> None:
    assert load_json(b"9" * 1000, "x.json") == int("9" * 1000)
    message = "x.json: not JSON: a number has more than 1000 digits"
    assert refused(b"[1, " + b"9" * 1_000_000 + b"]") == message


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("occlum_build.files.json_text._decode", fail)
    assert refused(b"[]") == "x.json: too large for the memory that there is"


def test_a_whole_pair_of_surrogates_is_one_character() -> None:
    assert load_json(b'"\\ud83d\\ude00"', "x.json") == "\U0001f600"


def test_many_containers_beside_one_another_are_not_deep() -> None:
    rows = b",".join([b'{"a": ["]\\\\", {}]}'] * 1000)
    assert len(load_json(b"[" + rows + b"]", "x.json")) == 1000


def test_what_is_open_at_the_end_or_closed_by_another_is_no_json_but_not_deep() -> None:
    assert "not JSON" in refused(b"[{" * 30)
    assert "not JSON" in refused(b"[}" * 1000)
    assert "not JSON" in refused(b"[{" * 1000)
