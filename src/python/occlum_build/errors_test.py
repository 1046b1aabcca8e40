from __future__ import annotations

import json

import pytest

from occlum_build.errors import (
    ERROR,
    MOST_TOLD,
    NOTE,
    WARNING,
    OcclumError,
    Place,
    Problem,
    Report,
    TooMuch,
    first_told,
)
from occlum_build.shown import Lines


def test_places_and_problems_as_text() -> None:
    assert [str(place) for place in (Place("f"), Place("f", 2), Place("f", 2, 3))] == [
        "f",
        "f:2",
        "f:2:3",
    ]
    assert str(Problem("c", "message")) == "message"
    assert (
        str(Problem("c", "message", Place("f", 1, 2), "do it")) == "f:1:2: message\n  hint: do it"
    )


def test_places_sort_by_file_line_and_column() -> None:
    places = [Place("g"), Place("f", 10), Place("f", 9, 2), Place("f", 9, 1)]
    assert sorted(places) == places[::-1]


def test_error_of_one_problem() -> None:
    error = OcclumError("c", "message", place=Place("f"), hint="do it", missing=("a",))
    assert error.problems == (Problem("c", "message", Place("f"), "do it", ("a",)),)
    assert error.code == "c"
    assert str(error) == "f: message\n  hint: do it"


def test_error_of_several_problems() -> None:
    problems = [Problem("a", "1", Place("f", 1)), Problem("b", "2")]
    error = OcclumError.of(problems)
    assert error.problems == tuple(problems)
    assert error.code == "a"
    assert str(error) == "f:1: 1\n2"
    with pytest.raises(ValueError, match="at least one"):
        OcclumError.of([])


def test_report_collects() -> None:
    report = Report()
    report.raise_errors()
    report.warn("w", "careful", Place("f", 1), "hint")
    report.error("e", "wrong", Place("f", 2), "hint", missing=("a",))
    assert report.warnings == [Problem("w", "careful", Place("f", 1), "hint", severity=WARNING)]
    assert report.errors == [Problem("e", "wrong", Place("f", 2), "hint", ("a",))]
    with pytest.raises(OcclumError, match="f:2: wrong"):
        report.raise_errors()


def test_report_ends_a_block_at_an_error() -> None:
    report = Report()
    for message in ("1", "2"):
        with report:
            raise OcclumError("c", message)
    assert [one.message for one in report.errors] == ["1", "2"]
    with pytest.raises(KeyError), report:
        raise KeyError
    assert len(report.errors) == 2


def test_report_at_a_place() -> None:
    report, place = Report(), Place("f", 3)
    here = report.at(place)
    with here:
        raise OcclumError.of([Problem("a", "1"), Problem("b", "2", Place("g", 1))])
    with here:
        raise OcclumError("c", "3", hint="do it")
    assert [one.place for one in report.errors] == [place, Place("g", 1), place]
    assert report.errors[2].hint == "do it"
    with pytest.raises(KeyError), here:
        raise KeyError


def test_a_problem_goes_where_its_severity_says() -> None:
    report = Report()
    report.note("n", "as it is meant")
    for severity in (NOTE, WARNING, ERROR):
        report.add(Problem("c", "text", severity=severity))
    assert [one.severity for one in report.warnings] == [NOTE, NOTE, WARNING]
    assert [one.severity for one in report.errors] == [ERROR]


@pytest.mark.parametrize("place", [None, Place("f", 1, 2)])
def test_problems_travel_as_json(place: Place | None) -> None:
    problem = Problem("c", "text", place, "hint", ("a", "b"), NOTE)
    assert Problem.from_json(json.loads(json.dumps(problem.to_json()))) == problem


def test_nothing_in_a_problem_can_forge_a_line() -> None:
    evil = "a\n  hint: b\x1b[1A\u202e\udcff"
    shown = r"a\n  hint: b\x1b[1A\u202e\xff"
    problem = Problem("c", evil, Place(evil, 1), evil)
    assert str(problem) == f"{shown}:1: {shown}\n  hint: {shown}"
    assert str(OcclumError.of([problem, problem])) == f"{problem}\n{problem}"
    assert Problem.from_json(json.loads(json.dumps(problem.to_json()))) == problem
    laid_out = Problem("c", Lines("a", f"  1. {evil}"), hint=Lines("b", evil))
    assert str(laid_out) == f"a\n  1. {shown}\n  hint: b\n{shown}"
    travelled = Problem.from_json(json.loads(json.dumps(laid_out.to_json())))
    assert (travelled, str(travelled)) == (laid_out, str(laid_out))


def test_of_very_many_problems_the_first_are_told_and_how_many_more() -> None:
    few = [Problem("c", str(number % 7)) for number in range(1000)]
    assert first_told(few) == few[:7]
    many = [Problem("c", str(number)) for number in range(MOST_TOLD + 2)]
    told = first_told([*many, Problem("w", "fine", severity=NOTE)])
    assert told[:MOST_TOLD] == many[:MOST_TOLD]
    assert told[-2:] == [
        Problem("w", "fine", severity=NOTE),
        Problem("c", "and 2 more, of which no more than 1,000 are told"),
    ]


def test_what_is_too_much_ends_more_than_its_place() -> None:
    report, place = Report(), Place("f", 3)
    with report:
        with report.at(place):
            raise TooMuch("a", "1")
        raise AssertionError
    assert report.errors == [Problem("a", "1", place)]


def test_a_path_of_any_length_is_told_without_its_middle() -> None:
    path = "/" + "a b/" * 1_024
    told = str(Problem("c", f"{'x' * 5_000} is odd", Place(path, 1, 2), "see " + "y" * 5_000))
    assert max(map(len, told.split("\n"))) < 2_200
    assert "[3,073 more characters]" in told and told.count("[3,976 more characters]") == 2
    assert ":1:2: xxx" in told and "is odd\n  hint: see yyy" in told
