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
