from __future__ import annotations

from typing import Callable

import pytest
from pants.engine.target import InvalidFieldException, InvalidTargetException

from pants_occlum.invalid import invalid_field, invalid_target


@pytest.mark.parametrize(
    ("made", "type_"),
    [(invalid_target, InvalidTargetException), (invalid_field, InvalidFieldException)],
)
def test_nothing_in_them_moves_the_cursor(
    made: Callable[[str], Exception], type_: type[Exception]
) -> None:
    name = "a\nerror: b\x1b[2J\u202e\udcff"
    error = made(f"{name} and {name!r} in target x{'y' * 5_000}: is odd")
    assert type(error) is type_
    said = r"a\nerror: b\x1b[2J\u202e\xff"
    told = str(error)
    assert told.startswith(f"{said} and '{said}' in target xyyy") and told.endswith(": is odd")
    assert len(told) < 1_400 and told.isprintable() and "[3,978 more characters]" in told
