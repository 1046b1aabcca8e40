from __future__ import annotations

import pytest

from occlum_build.shown import some, who


@pytest.mark.parametrize(
    ("count", "shown", "said"),
    [
        (0, 3, ""),
        (1, 3, "0"),
        (2, 3, "0 and 1"),
        (3, 3, "0, 1 and 2"),
        (4, 3, "0, 1, 2 and 3"),
        (5, 3, "0, 1, 2 and 2 more"),
        (2, 1, "0 and 1"),
        (1_235, 1, "0 and 1,234 more"),
    ],
)
def test_some(count: int, shown: int, said: str) -> None:
    assert some([str(number) for number in range(count)], shown) == said


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["/a/b"], "/a/b"),
        (["/a/c", "/a/b", "/a/b"], "2 files below /a"),
        (["/a", "/b"], "2 files, /a among them"),
        (["ws/a", "/b"], "2 files, /b among them"),
        (["a", "b"], "2 files, a among them"),
    ],
)
def test_who(files: list[str], said: str) -> None:
    assert who(files) == said
