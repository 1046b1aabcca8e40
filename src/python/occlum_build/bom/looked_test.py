"""Trees that links make endless, and walks that count."""

from __future__ import annotations

import pytest

from occlum_build.bom.excludes import compile_excludes
from occlum_build.bom.looked import Looked
from occlum_build.bom.operations import CopyDir
from occlum_build.bom.walk import walk_copy
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.testing import MemoryView
from occlum_build.errors import Place, Report, TooMuch

PLACE = Place("f", 1, 1)


def _bomb(levels: int) -> dict[str, ElfFacts | bytes | str]:
    """Each directory has ten links to the next one."""
    return {
        f"/ws/d{level}/l{link}": f"-> /ws/d{level + 1}"
        for level in range(levels)
        for link in range(10)
    }


def test_directories_that_links_lead_to_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.bom.looked.MAX_AGAIN", 500)
    entries = _bomb(9)
    entries["/ws/d9/f"] = b""
    report = Report()
    found: list[object] = []
    with report:
        found.extend(
            walk_copy(
                MemoryView(entries),
                CopyDir("/ws/d0", "", False, PLACE),
                compile_excludes([]),
                report,
            )
        )
    (error,) = report.errors
    assert "links lead to the same directories again, to more than 500 entries" in error.message
    assert "d0/l0/l0" in error.message and "`excludes`" in error.hint
    assert len(found) < 1000


def _copy_again(bombs: int, plain: int, looked: Looked) -> Report:
    """Copies that each come to 189 entries again, and to 21 for the first time."""
    entries = _bomb(2)
    entries["/ws/d2/f"] = b""
    entries.update((f"/ws/plain/{at}", b"") for at in range(plain))
    report = Report()
    with report:
        for source in ["/ws/plain"] * bool(plain) + ["/ws/d0"] * bombs:
            operation = CopyDir(source, "", False, PLACE)
            excluded = compile_excludes([])
            list(walk_copy(MemoryView(entries), operation, excluded, report, looked=looked))
    return report


def test_what_all_copies_come_to_again_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.bom.looked.MAX_AGAIN", 500)
    looked = Looked()
    (error,) = _copy_again(200, 0, looked).errors
    assert (
        "links of all copies together lead to the same directories again, to more than 5"
        in error.message
    )
    assert looked.entries < 1000


def test_what_comes_for_the_first_time_allows_as_much_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("occlum_build.bom.looked.MAX_AGAIN", 500)
    looked = Looked()
    assert not _copy_again(8, 1000, looked).errors
    assert looked.again == 8 * (9 * 10 + 99)


def test_entries_of_all_copies_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("occlum_build.bom.looked.MAX_ENTRIES", 3)
    view, looked = MemoryView({"ws/d/a": b"", "ws/d/b": b""}), Looked()
    operation, report = CopyDir("ws/d", "", True, PLACE), Report()
    assert len(list(walk_copy(view, operation, compile_excludes([]), report, looked=looked))) == 3
    with pytest.raises(TooMuch, match="makes more than 3 entries"):
        list(walk_copy(view, operation, compile_excludes([]), report, looked=looked))


def test_a_chain_of_links_ends_where_no_path_goes_on() -> None:
    levels = 3000
    entries: dict[str, ElfFacts | bytes | str] = {
        f"/ws/d{level}/l": f"-> /ws/d{level + 1}" for level in range(levels)
    }
    entries[f"/ws/d{levels}/f"] = b""
    operation, report = CopyDir("/ws/d0", "", False, PLACE), Report()
    found = list(walk_copy(MemoryView(entries), operation, compile_excludes([]), report))
    assert 2040 < len(found) < 2060
