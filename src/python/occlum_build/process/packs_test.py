from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from occlum_build.process.packs import (
    Numbered,
    PackedFile,
    Span,
    read_index,
    spans,
    write_index,
)


def sizes_of(found: list[Span], items: list[Numbered]) -> list[int]:
    return [sum(item.size for item in items[one.start : one.end]) for one in found]


items = st.dictionaries(st.integers(2, 5000), st.integers(0, 300)).map(
    lambda found: [Numbered(*one) for one in sorted(found.items())]
)


@given(items, st.integers(1, 1000))
def test_all_are_in_one_part_and_none_has_too_much(items: list[Numbered], most: int) -> None:
    found = spans(items, most)
    assert [number for one in found for number in range(one.start, one.end)] == list(
        range(len(items))
    )
    for one, size in zip(found, sizes_of(found, items)):
        assert one.start < one.end
        assert size <= most or one.end - one.start == 1
        assert one.lowest <= items[one.start].number
    lowest = [one.lowest for one in found]
    assert lowest == sorted(set(lowest))


def test_parts_are_not_much_smaller_than_they_may_be() -> None:
    items = [Numbered(number, 28 << 10) for number in range(2, 50_000)]
    found = spans(items, 10 << 20)
    assert all(size >= 5 << 20 for size in sizes_of(found, items)[1:-1])


def test_a_large_one_is_alone() -> None:
    items = [Numbered(2, 5), Numbered(3, 1000), Numbered(4, 5)]
    assert spans(items, 100) == [Span(0, 1, 2), Span(1, 2, 3), Span(2, 3, 4)]
    assert spans([], 100) == []


def test_another_size_moves_no_cut_elsewhere() -> None:
    """And so a content that changes changes one pack."""
    source = random.Random(1)
    items = [Numbered(number, source.randrange(100)) for number in range(2, 2_000)]
    before = spans(items, 1_000)
    for number in (0, 700, 1_997):
        changed = list(items)
        changed[number] = changed[number]._replace(size=changed[number].size + 7)
        assert len({*before} ^ {*spans(changed, 1_000)}) <= 3


def test_what_comes_later_moves_no_cut_before_it() -> None:
    items = [Numbered(number, 100) for number in range(2, 2_000)]
    before, after = spans(items[:1_000], 1_000), spans(items, 1_000)
    assert before[:-1] == after[: len(before) - 1]


def test_index(tmp_path: Path) -> None:
    files = [
        PackedFile("b", "0" * 64, 5, "pack", 0),
        PackedFile("a", "1" * 64, 7, "pack", 5),
    ]
    write_index(tmp_path, files)
    assert read_index((tmp_path / "packs.json").read_bytes()) == (files[1], files[0])
