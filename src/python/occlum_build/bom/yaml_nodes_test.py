from __future__ import annotations

import pytest
import yaml

from occlum_build.bom.yaml_nodes import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT_BYTES,
    Mapping,
    Scalar,
    Sequence,
    parse_yaml,
)
from occlum_build.errors import OcclumError, Place, Problem


def _problem(data: bytes) -> Problem:
    with pytest.raises(OcclumError) as caught:
        parse_yaml(data, "f")
    (problem,) = caught.value.problems
    assert problem.code == "bom-invalid"
    return problem


def _scalar(text: str) -> Scalar:
    node = parse_yaml(text.encode(), "f")
    assert isinstance(node, Scalar)
    return node


@pytest.mark.parametrize(
    "text", ["0644", "no", "yes", "on", "1.20", "1e3", ".inf", "2001-01-01", "=", "1_000", "0b1"]
)
def test_plain_text_stays_as_written(text: str) -> None:
    scalar = _scalar(text)
    assert scalar.value == text
    assert not (scalar.is_null or scalar.is_bool or scalar.is_int)


@pytest.mark.parametrize("text", ["0", "123", "-1", "+5", "0x1F", "0o17"])
def test_integers(text: str) -> None:
    assert _scalar(text).is_int
    assert not _scalar(f'"{text}"').is_int
    assert not _scalar(f"!!str {text}").is_int


@pytest.mark.parametrize("text", ["true", "False", "TRUE"])
def test_booleans(text: str) -> None:
    assert _scalar(text).is_bool
    assert not _scalar(f"'{text}'").is_bool


@pytest.mark.parametrize("text", ["~", "null", "NULL", "--- \n"])
def test_nulls(text: str) -> None:
    assert _scalar(text).is_null


@pytest.mark.parametrize("text", ["''", '"null"', "'~'", "!!str null"])
def test_quoted_text_is_no_null(text: str) -> None:
    assert not _scalar(text).is_null


def test_places_count_characters_from_one() -> None:
    root = parse_yaml('é: [ü, "b"]\nlong:\n  - x: y\n'.encode(), "f")
    assert isinstance(root, Mapping)
    (first_key, first), (second_key, second) = root.items
    assert (first_key.place, first.place) == (Place("f", 1, 1), Place("f", 1, 4))
    assert isinstance(first, Sequence)
    assert [item.place for item in first.items] == [Place("f", 1, 5), Place("f", 1, 8)]
    assert (second_key.place, second.place) == (Place("f", 2, 1), Place("f", 3, 3))


def test_byte_order_mark_is_skipped() -> None:
    assert parse_yaml(b"\xef\xbb\xbfa", "f") == Scalar("a", True, Place("f", 1, 1))


@pytest.mark.parametrize(
    ("data", "place", "part"),
    [
        (b"", Place("f", 1, 1), "empty"),
        (b"# only a comment\n", Place("f", 1, 1), "empty"),
        (b"{}\n---\n{}\n", Place("f", 2, 1), "second document"),
        (b"a: 1\nb:\n\t- c\n", Place("f", 3, 1), "not YAML"),
        (b"a: 'b\n", Place("f", 2, 1), "not YAML"),
        (b"a:\n  - b\n c: d\n", Place("f", 3, 2), "not YAML"),
        (b"a: b: c\n", Place("f", 1, 5), "not YAML"),
        ("é: \xff".encode("latin-1"), Place("f", 1, 1), "not UTF-8"),
        (b"a: b\n\xc3\xa9\xff", Place("f", 2, 2), "not UTF-8"),
        (b"t\0\0\0", Place("f", 1, 2), "not YAML"),
        ("é: 1\nb: \x07".encode(), Place("f", 2, 4), "not YAML"),
        (b"a: !!int 1", Place("f", 1, 4), "tag:yaml.org,2002:int"),
        (b"a: !mine {}", Place("f", 1, 4), "!mine"),
        (b"a: !!map {}", Place("f", 1, 4), "tag"),
        (b"a: {<<: {b: c}}", Place("f", 1, 5), "merge keys"),
        (b"b: &b {c: d}\na:\n  <<: *b\n", Place("f", 3, 3), "merge keys"),
        (b"a: 1\n'a': 2\n", Place("f", 2, 1), "'a' is given twice, first at f:1:1"),
        (b"[a]: b", Place("f", 1, 1), "must be text"),
        (b"a: *b", Place("f", 1, 4), "&b is not defined"),
        (b"a: &b [*b]", Place("f", 1, 8), "&b is not defined"),
        (b'"\\uD800"', Place("f", 1, 4), "not YAML"),
    ],
)
def test_mistakes_have_a_place(data: bytes, place: Place, part: str) -> None:
    problem = _problem(data)
    assert part in problem.message
    assert problem.place == place


def test_hint_for_tabs() -> None:
    assert "tabs" in _problem(b"a:\n\tb").hint
    assert "tabs" not in _problem(b"a: b: c").hint


def test_anchors() -> None:
    root = parse_yaml(b"a: &x [b]\nc: *x\nd: &x e\nf: *x", "f")
    assert isinstance(root, Mapping)
    values = [value for _, value in root.items]
    assert values[0] == values[1]
    assert values[2] == values[3] == Scalar("e", True, Place("f", 3, 4))


def test_expansion_of_anchors_is_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        aliases = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{aliases}]")
    problem = _problem("\n".join(lines).encode())
    assert f"more than {MAX_NODES} nodes" in problem.message
    assert problem.place is not None
    assert problem.place.line < len(lines)


def test_depth_is_bounded() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert isinstance(parse_yaml(deepest, "f"), Sequence)
    for opening in (b"[", b"{a: ", b"- ", b"? "):
        problem = _problem(opening * 50_000)
        assert "nested deeper" in problem.message


def test_depth_is_bounded_alike_where_libyaml_bounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(*_: object, **__: object) -> None:
        mark = yaml.Mark("f", 0, 0, 7, None, 0)
        raise yaml.scanner.ScannerError(None, None, "exceeded maximum nesting depth", mark)

    monkeypatch.setattr(yaml, "parse", parse)

    problem = _problem(b"[")

    assert problem.message == f"nested deeper than {MAX_DEPTH} levels"
    assert problem.place == Place("f", 1, 8)


def test_size_is_bounded() -> None:
    comment = b"a #" + b"x" * (MAX_TEXT_BYTES - 3)
    assert isinstance(parse_yaml(comment, "f"), Scalar)
    problem = _problem(comment + b"x")
    assert problem.place == Place("f")
    assert "larger" in problem.message


def test_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    assert isinstance(parse_yaml(b"a: [b]", "f"), Mapping)
    assert _problem(b"a: b: c").place == Place("f", 1, 5)
    assert _problem("é: 1\nb: \x07".encode()).place == Place("f", 2, 4)
    assert "escape" in _problem(b'"\\UFFFFFFFF"').message
