from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from occlum_build.image.graph import Edge
from occlum_build.report.page.levels import levels_of

PATHS = st.sampled_from("abcdefgh")


def edges(*pairs: str) -> list[Edge]:
    return [Edge(pair[0], pair[1], "needed") for pair in pairs]


def test_each_is_below_all_that_need_it() -> None:
    assert levels_of(edges("pa", "pb", "ab", "qb")) == {"p": 0, "q": 0, "a": 1, "b": 2}


def test_what_needs_each_other_has_one_level() -> None:
    assert levels_of(edges("pa", "ab", "ba", "bc")) == {"p": 0, "a": 1, "b": 1, "c": 2}


def test_nothing() -> None:
    assert levels_of([]) == {}


@given(st.sets(st.tuples(PATHS, PATHS)))
def test_no_edge_leads_up(pairs: set[tuple[str, str]]) -> None:
    found = levels_of(edges(*map("".join, sorted(pairs))))
    assert all(found[origin] <= found[to] for origin, to in pairs)
    assert set(found) == {path for pair in pairs for path in pair}
