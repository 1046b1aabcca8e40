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
