from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.checks.allowed import parse_allowed, sort_out
from occlum_build.errors import NOTE, WARNING, OcclumError, Problem

PROBLEMS = [
    Problem("runtime-nss", "a", severity=WARNING),
    Problem("libraries", "b", severity=WARNING),
    Problem("runtime-nss", "c", severity=WARNING),
    Problem("runtime-nss", "c", severity=WARNING),
]


def test_what_is_allowed_is_counted_with_its_reason() -> None:
    allowed = parse_allowed(["runtime-nss: our nsswitch.conf is read by nobody", " libraries "])
    assert allowed == {"runtime-nss": "our nsswitch.conf is read by nobody", "libraries": ""}
    errors, (note,) = sort_out(PROBLEMS, allowed)
    assert errors == []
    assert note.severity == NOTE
    assert note.message == (
        "allowed and not shown: 1 of libraries, "
        "2 of runtime-nss (our nsswitch.conf is read by nobody)"
    )


def test_what_is_not_allowed_is_told_once() -> None:
    wrong = Problem("program", "it is absent")
    assert sort_out([*PROBLEMS, wrong, wrong], {}) == ([wrong], PROBLEMS[:3])
    assert sort_out(PROBLEMS, {"elf": ""}) == ([], PROBLEMS[:3])


def test_errors_of_checks_can_be_allowed_and_no_others() -> None:
    allowed = parse_allowed(["program", "oci"])
    wrong = Problem("oci", "it cannot be built")
    found = [Problem("program", "a"), wrong, replace(wrong, severity=NOTE)]
    errors, (note,) = sort_out(found, allowed)
    assert errors == [wrong]
    assert note.message == "allowed and not shown: 1 of oci, 1 of program"


def test_a_code_that_is_none() -> None:
    with pytest.raises(OcclumError, match="'runtime-nsss' is not the code of a check") as error:
        parse_allowed(["runtime-nsss"])
    assert error.value.problems[0].hint == "did you mean 'runtime-nss'?"


def test_a_code_of_what_cannot_be_written() -> None:
    with pytest.raises(OcclumError, match="'name-too-long' cannot be allowed"):
        parse_allowed(["name-too-long: nobody opens it"])
