from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.errors import OcclumError
from occlum_build.sefs.planned import numbered, planned_tree
from occlum_build.sefs.tree import scan_tree


def entry(path: str, kind: str = "file", mode: str = "0644") -> dict[str, Any]:
    return {"path": f"/{path}", "type": kind, "mode": mode}


def test_a_planned_tree_is_numbered_as_one_on_a_disk(tmp_path: Path) -> None:
    names = ["a", "a-b", "a.b", "a0", "é", "a b", "z", "0", "\x01"]
    entries = [entry("")]
    for name in names:
        (tmp_path / name).mkdir(mode=0o750)
        entries.append(entry(name, "dir", "0750"))
        for below in names:
            (tmp_path / name / below).write_text(below)
            (tmp_path / name / below).chmod(0o4711)
            entries.append(entry(f"{name}/{below}", mode="4711"))
        (tmp_path / name / "link").symlink_to("a")
        entries.append(entry(f"{name}/link", "symlink", "0777"))
    scanned, planned = scan_tree(tmp_path), planned_tree(reversed(entries))
    assert planned.entries == scanned.entries
    assert planned.children == scanned.children


names = st.text(st.characters(min_codepoint=1, exclude_characters="/"), min_size=1, max_size=3)


@given(st.sets(st.lists(names, min_size=1, max_size=4).map("/".join)))
def test_numbers_go_depth_first(paths: set[str]) -> None:
    with_parents = {
        "/".join(path.split("/")[:end])
        for path in paths
        for end in range(1, 1 + len(path.split("/")))
    }
    in_order = sorted(
        with_parents,
        key=lambda path: [name.encode("utf-8", "surrogatepass") for name in path.split("/")],
    )
    found = numbered(with_parents)
    assert list(found) == in_order
    assert list(found.values()) == list(range(3, 3 + len(in_order)))


def test_numbers_leave_out_freemaps() -> None:
    found = set(numbered(str(number) for number in range(3_000)).values())
    assert {1025, 2049} & found == set() and {1024, 1026, 2050} <= found


@pytest.mark.parametrize(
    ("entries", "code", "message"),
    [
        ([entry("a/b")], "sefs-manifest", "has 'a/b', but not its directory"),
        ([entry("a"), entry("a/b")], "sefs-manifest", "has 'a/b', but not its directory"),
        ([entry("a" * 256)], "sefs-name", "a name must have 1 to 255 bytes"),
        ([entry("..")], "sefs-name", "cannot be the name"),
        ([entry("\udcff")], "sefs-name", "is not UTF-8"),
    ],
)
def test_what_is_no_tree(entries: list[dict[str, Any]], code: str, message: str) -> None:
    with pytest.raises(OcclumError, match=message) as error:
        planned_tree(entries)
    assert error.value.code == code


def test_too_many_directories_in_one() -> None:
    entries = [entry(f"d{number}", "dir", "0755") for number in range(65_534)]
    assert len(planned_tree(entries[:-1]).entries) == 65_534
    with pytest.raises(OcclumError, match="more than 65533 subdirectories"):
        planned_tree(entries)
