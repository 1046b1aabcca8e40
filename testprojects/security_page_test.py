"""SECURITY.md names each suite of attacks, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path("SECURITY.md")
SUITES = Path("testprojects/hostile")


def test_each_suite_has_a_row_with_the_number_of_its_cases() -> None:
    rows = re.findall(r"^\| .+ \| `(\w+_test\.py)`.* \| ([^|]+) \|$", PAGE.read_text(), re.M)
    assert sorted(name for name, _ in rows) == sorted(one.name for one in SUITES.glob("*_test.py"))
    assert [name for name, cases in rows if not re.search(r"\d", cases)] == []
