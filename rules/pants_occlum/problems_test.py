from __future__ import annotations

import logging

import pytest

from occlum_build.errors import OcclumError, Place, Problem
from occlum_build.shown import Lines
from pants_occlum.logs import logger_of
from pants_occlum.problems import invalid_image, told_of

EVIL = "a\n[ERROR] b\x1b[1A\u202e"
SHOWN = r"a\n[ERROR] b\x1b[1A\u202e"


def test_nothing_of_others_moves_the_cursor_in_a_log(caplog: pytest.LogCaptureFixture) -> None:
    logger = logger_of("pants_occlum.test")
    problem = Problem("c", Lines("first", EVIL), hint=EVIL)
    with caplog.at_level(logging.INFO, "pants_occlum.test"):
        logger.info("%s: %s, %s", EVIL, problem, OcclumError("c", EVIL))
        logger.info(EVIL)
        logger.info("%d of %s", 3, EVIL)
    assert [record.getMessage() for record in caplog.records] == [
        f"{SHOWN}: first\n{SHOWN}\n  hint: {SHOWN}, {SHOWN}",
        SHOWN,
        f"3 of {SHOWN}",
    ]


def test_nor_in_an_error() -> None:
    error = invalid_image(EVIL, [Problem("c", EVIL)])
    assert str(error) == f"{SHOWN} cannot be built, 1 error:\n\n{SHOWN}"


def test_problems_of_what_a_field_names() -> None:
    with pytest.raises(OcclumError) as caught, told_of("[occlum].x"):
        place = Place("p", 1, 2)
        placed = [Problem("d", "b", place, "do"), Problem("d", "c", place)]
        raise OcclumError.of([Problem("c", Lines("first", EVIL)), *placed])
    assert [str(one) for one in caught.value.problems] == [
        f"[occlum].x: first\n{SHOWN}",
        "p:1:2: b\n  hint: do; [occlum].x names it",
        "p:1:2: c\n  hint: [occlum].x names it",
    ]
