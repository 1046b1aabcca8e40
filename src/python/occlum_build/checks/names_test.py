from __future__ import annotations

import pytest

from occlum_build.checks.names import name_problems
from occlum_build.checks.root import Root
from occlum_build.checks.testing import ORIGIN
from occlum_build.image.entries import DIR, SYMLINK, Entry
from occlum_build.image.testing import TreeView

DEEP = "/".join(["d" * 250] * 16)  # 4015 bytes


def _problems(*entries: Entry) -> list[str]:
    problems = list(name_problems(Root(entries, TreeView({}))))
    assert all(one.place == ORIGIN.place and one.code == "name-too-long" for one in problems)
    return [one.message for one in problems]


@pytest.mark.parametrize(
    "path", ["n" * 255, "a/" + "ü" * 127, "line\nbreak", "a:b", "tab\t", f"{DEEP}/{'x' * 78}"]
)
def test_names_that_are_right(path: str) -> None:
    assert _problems(Entry(path, DIR, ORIGIN)) == []


def test_a_name_is_counted_in_bytes() -> None:
    assert _problems(Entry("n" * 256, DIR, ORIGIN)) == [
        f"the name {'n' * 60}... has 256 bytes, and Linux opens none of more than 255"
    ]
    assert len(_problems(Entry("ü" * 128, DIR, ORIGIN))) == 1
    assert len(_problems(Entry(f"{'n' * 256}/below", DIR, ORIGIN))) == 1


def test_a_path_and_a_target() -> None:
    (message,) = _problems(Entry(f"{DEEP}/{'x' * 79}", DIR, ORIGIN))
    assert "has 4,096 bytes" in message
    assert _problems(Entry("l", SYMLINK, ORIGIN, target="x/" * 2000)) == []
    assert _problems(Entry("l", SYMLINK, ORIGIN, target="x/" * 2048)) == [
        "the target of the link l has 4,096 bytes, and Linux opens none of more than 4,095"
    ]
