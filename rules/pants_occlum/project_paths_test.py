from __future__ import annotations

import pytest

from occlum_build.bom.operations import CopyDir, CopyFile
from occlum_build.errors import Place
from pants_occlum.project_paths import Copy, copy_globs, literal

PLACE = Place("bom.yaml")


@pytest.mark.parametrize(
    ("path", "glob"),
    [("a/b c", "a/b c"), ("a[1]*?", "a[[]1][*][?]"), ("!a", "?a"), ("a/!b", "a/!b")],
)
def test_literal(path: str, glob: str) -> None:
    assert literal(path) == glob


def test_files_and_directories() -> None:
    copies: list[Copy] = [CopyFile("x", "y", PLACE), CopyDir("d[1]", "y", False, PLACE)]
    assert copy_globs(copies) == ("d[[]1]", "d[[]1]/**", "x")


def test_wildcard_is_one_only_below_its_base() -> None:
    copy = CopyFile("a[1]/*.txt", "y", PLACE, wildcard=True, base="a[1]")
    assert copy_globs([copy]) == ("a[[]1]/*.txt", "a[[]1]/[*].txt")
    leaving = CopyDir("x*", "y", False, PLACE, wildcard=True, base="a/b")
    assert copy_globs([leaving]) == ("x*", "x*/**", "x[*]", "x[*]/**")


def test_whole_project() -> None:
    assert copy_globs([CopyDir("", "y", True, PLACE)]) == ("**",)
