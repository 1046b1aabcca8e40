from __future__ import annotations

import os

import pytest

from occlum_build.bom.model import Text
from occlum_build.bom.variables import UNDEFINED, expand
from occlum_build.errors import Place, Report

PLACE = Place("f", 1, 2)
ENV = {"A": "1", "LONG_name2": "2", "EMPTY": "", "NEST": "$A", "é": "3"}


def _expand(text: str, report: Report) -> str:
    return expand(Text(text, PLACE), ENV, report)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("plain", "plain"),
        ("$A", "1"),
        ("${A}b", "1b"),
        ("$A/$LONG_name2-$A", "1/2-1"),
        ("$EMPTY.", "."),
        ("${EMPTY:-x}", ""),
        ("${NONE:-x/y}", "x/y"),
        ("${NONE:-}", ""),
        ("${NONE:-$A}", "$A"),
        ("$NEST", "$A"),
        ("$é", "3"),
        ("$$A", "$A"),
        ("$$$A", "$1"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("${A", "${A"),
        ("~/a", "~/a"),
    ],
)
def test_expand(text: str, due: str) -> None:
    report = Report()
    assert _expand(text, report) == due
    assert report.errors == []


def test_undefined_variables_are_all_told() -> None:
    report = Report()
    assert _expand("$A/$NO/${NOPE}", report) == f"1/{UNDEFINED}/{UNDEFINED}"
    assert [one.code for one in report.errors] == ["bom-invalid"] * 2
    assert [one.place for one in report.errors] == [PLACE] * 2
    assert report.errors[0].message == "variable 'NO' is not defined in '$A/$NO/${NOPE}'"
    assert "${NOPE:-value}" in report.errors[1].hint


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("Main$Inner.class", "write `$$Inner`"),
        ("Main$1.class", "write `$$1`"),
        ("out/$1", "write `$$1`"),
        ("$RECYCLE.BIN", "a dollar sign itself is written `$$`"),
    ],
)
def test_dollar_sign_that_belongs_to_the_name(text: str, due: str) -> None:
    report = Report()
    _expand(text, report)
    (error,) = report.errors
    assert due in error.hint and "or give a default: ${" in error.hint
    assert _expand(text.replace("$", "$$"), Report()) == text


def test_value_that_is_not_utf8() -> None:
    report = Report()
    expand(Text("$X", PLACE), {"X": os.fsdecode(b"\xff")}, report)
    assert report.errors[0].message == "variable 'X' is not UTF-8 text"


def test_braces_that_are_not_closed_stay() -> None:
    report = Report()
    assert _expand("${" * 2000, report) == "${" * 2000
    assert _expand("${" * 3 + "A}" + "${" * 3, report).endswith("${${${")


def test_a_text_that_is_no_path_is_told_once_and_not_repeated() -> None:
    for text in ("/a" * 100_000, "${" * 100_000, "$A" * 1_000_000, "$LONG" * 10):
        report = Report()
        assert expand(Text(text, PLACE), {"A": "1", "LONG": "x" * 1000}, report) == UNDEFINED
        (error,) = report.errors
        assert "has more than the 4,095 bytes that a path may have" in error.message
        assert len(error.message) < 400


def test_a_path_has_bytes_and_not_characters() -> None:
    report = Report()
    assert _expand("é" * 2047, report) == "é" * 2047
    assert _expand("é" * 2048, report) == UNDEFINED
    assert len(report.errors) == 1


def test_an_undefined_variable_is_told_once_a_text() -> None:
    report = Report()
    _expand("$NO" * 500 + "$NOPE" * 500, report)
    assert [one.message.split()[1] for one in report.errors] == ["'NO'", "'NOPE'"]
    assert all(len(one.message) < 400 for one in report.errors)
