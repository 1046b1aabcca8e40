from __future__ import annotations

import posixpath
import re

import pytest

from occlum_build.checks.codes import CODES
from occlum_build.checks.families.find import begins_of
from occlum_build.checks.families.table import FAMILIES
from occlum_build.checks.families.testing import SCRIPT, Case, Content
from occlum_build.checks.families.testing_languages import LANGUAGE_CASES
from occlum_build.checks.families.testing_services import SERVICE_CASES
from occlum_build.checks.runtime import runtime_problems
from occlum_build.checks.testing import root_of

CASES = (*LANGUAGE_CASES, *SERVICE_CASES)
OTHERS = ("fonts",)  # notes of what some examples also can use


def _codes(files: dict[str, Content]) -> list[str]:
    problems = runtime_problems(root_of(files))
    assert all(one.hint and one.place and one.code in CODES for one in problems)
    return [one.code.partition("-")[2] for one in problems]


def _name(case: Case) -> str:
    (family,) = (family for family in FAMILIES if family.title == case.title)
    return family.name


def _found(case: Case, files: dict[str, Content]) -> list[str]:
    return [one for one in _codes(files) if one == _name(case) or one not in OTHERS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_what_is_whole_is_passed_over(case: Case) -> None:
    assert _found(case, {**case.shown, **case.needed}) == []
    for instead in case.instead:
        assert _found(case, {**case.shown, **instead}) == []
    assert _codes(case.needed) == []  # nothing shows the family, nobody needs what it lacks


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_each_file_that_is_needed_is_missed(case: Case) -> None:
    for path in case.needed:
        left = {one: content for one, content in case.needed.items() if one != path}
        assert set(_found(case, {**case.shown, **left})) == {_name(case)}, path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_what_has_the_name_and_is_no_elf_file_shows_nothing(case: Case) -> None:
    (family,) = (one for one in FAMILIES if one.title == case.title)
    if family.elf:
        shown: dict[str, Content] = {
            path: content if isinstance(content, (bytes, str)) else SCRIPT
            for path, content in case.shown.items()
        }
        assert _codes(shown) == []


def test_every_row_has_an_example_and_a_code() -> None:
    assert [case.title for case in CASES] == [family.title for family in FAMILIES]
    assert {family.code for family in FAMILIES} <= set(CODES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_each_name_begins_as_its_pattern(case: Case) -> None:
    (family,) = (family for family in FAMILIES if family.title == case.title)
    names = {posixpath.basename(path) for path in case.shown}
    found = [name for name in names if re.fullmatch(family.files, name)]
    assert found
    assert all(name.startswith(begins_of(family.files)) for name in found)


def test_begins_of_patterns() -> None:
    assert begins_of(r"libc\.so\.6") == ("libc",)
    assert begins_of(r"perl(?:5\.[\d.]+)?(?:-[\w-]+)?") == ("perl",)
    assert begins_of(r"(?:lib)?python(?:3(?:\.(?P<minor>\d+))?)?") == ("",)
    assert begins_of(r"aplay|vim(?:\.\w+)?|b*") == ("aplay", "vim", "")


def test_every_pattern_is_valid() -> None:
    for family in FAMILIES:
        groups = {*re.compile(family.at).groupindex, *re.compile(family.files).groupindex}
        for need in family.needs:
            for text in (*need.one_of, need.what, need.add):
                assert set(re.findall(r"\{(\w+)\}", text)) <= groups, family.title
        for config in family.configs:
            assert re.compile(config.names).groups == 1
        assert bool(family.check) == bool(family.checked)
        assert family.needs or family.configs or family.check
