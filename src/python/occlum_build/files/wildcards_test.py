from __future__ import annotations

import pytest

from occlum_build.files.wildcards import wildcard


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*.so", "a.so", True),
        ("*.so", "a.so.1", False),
        ("a/*", "a/b/c", True),
        ("[!a]?", "bc", True),
        ("[", "[", True),
        ("x\n*", "x\ny", True),
        ("[z-a]", "z", False),
        ("[z-a]", "[z-a]", False),
    ],
)
def test_wildcards(pattern: str, name: str, matches: bool) -> None:
    assert bool(wildcard(pattern).match(name)) is matches
