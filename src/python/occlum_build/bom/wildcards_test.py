from __future__ import annotations

import pytest

from occlum_build.bom.looked import Looked
from occlum_build.bom.wildcards import expand_wildcard
from occlum_build.elf.testing import MemoryView
from occlum_build.errors import TooMuch

VIEW = MemoryView(
    {
        "ws/a.so": b"",
        "ws/b.so": b"",
        "ws/.hidden.so": b"",
        "ws/d[1]/a.so": b"",
        "ws/d1/a.so": b"",
        "ws/link": "-> d1",
        "ws/dangling": "-> gone",
        "/usr/lib/x.so.1": b"",
        "/usr/lib/x.so.2": b"",
    }
)


def test_matches_are_sorted_and_not_hidden() -> None:
    assert expand_wildcard(VIEW, "ws/*.so", "ws") == ["ws/a.so", "ws/b.so"]
    assert expand_wildcard(VIEW, "ws/.*.so", "ws") == ["ws/.hidden.so"]
    assert expand_wildcard(VIEW, "ws/[!a].so", "ws") == ["ws/b.so"]
    assert expand_wildcard(VIEW, "ws/[z-a].so", "ws") == []


def test_pattern_in_a_directory() -> None:
    assert expand_wildcard(VIEW, "ws/*/a.so", "ws") == [
        "ws/d1/a.so",
        "ws/d[1]/a.so",
        "ws/link/a.so",
    ]
    assert expand_wildcard(VIEW, "ws/d?/a.so", "ws") == ["ws/d1/a.so"]
    assert expand_wildcard(VIEW, "ws/li?k/*", "ws") == ["ws/link/a.so"]


def test_literal_name_wins() -> None:
    assert expand_wildcard(VIEW, "ws/d[1]", "ws") == ["ws/d[1]"]
    assert expand_wildcard(VIEW, "ws/danglin[g]", "ws") == ["ws/dangling"]


def test_base_is_no_pattern() -> None:
    assert expand_wildcard(VIEW, "ws/d[1]/*", "ws/d[1]") == ["ws/d[1]/a.so"]


def test_absolute_and_project_paths() -> None:
    assert expand_wildcard(VIEW, "/usr/lib/x.so.*", "/") == ["/usr/lib/x.so.1", "/usr/lib/x.so.2"]
    assert expand_wildcard(VIEW, "/usr/*/x.so.1", "ws") == ["/usr/lib/x.so.1"]


def test_no_match() -> None:
    assert expand_wildcard(VIEW, "ws/*.txt", "ws") == []
    assert expand_wildcard(VIEW, "ws/a.so/*", "ws") == []
    assert expand_wildcard(VIEW, "gone/*", "gone") == []


def test_names_that_links_make_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.bom.looked.MAX_MATCHES", 1000)
    view = MemoryView({f"ws/l{number}": "-> ." for number in range(10)})
    with pytest.raises(TooMuch, match="matches more than 1,000 names"):
        expand_wildcard(view, "ws/" + "*/" * 30 + "x", "ws")


def test_names_that_are_compared_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.bom.looked.MAX_COMPARED", 14)
    looked = Looked()
    for pattern in ("ws/*.so", "ws/a*"):
        assert expand_wildcard(VIEW, pattern, "ws", looked)
    with pytest.raises(TooMuch, match="compared with more than 14 names"):
        expand_wildcard(VIEW, "ws/b*", "ws", looked)
