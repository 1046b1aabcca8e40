from __future__ import annotations

from occlum_build.files.tar_reader import HARD_LINK, Member
from occlum_build.occlum.archive_tree import MAX_NAME, ArchiveTree
from occlum_build.occlum.toolchain_links import LOST
from occlum_build.sources.model import DIR, FILE, OTHER, SYMLINK, SourceStat


def _tree(*members: tuple[str, str, str]) -> ArchiveTree:
    return ArchiveTree(
        Member(number, name, kind, link=link) for number, (name, kind, link) in enumerate(members)
    )


def test_directories_need_no_member() -> None:
    tree = _tree(("./a/b/c", FILE, ""), ("a/bb", SYMLINK, "b/"), ("d/", DIR, ""), ("e", OTHER, ""))
    kinds = {name: tree.look(name) for name in ("a", "a/b", "a/b/c", "a/bb", "d", "e")}
    assert [one.kind for one in kinds.values() if one] == [DIR, DIR, FILE, SYMLINK, DIR, OTHER]
    assert kinds["a/bb"] == SourceStat(SYMLINK, target="b/")
    assert [tree.look(name) for name in ("a/", "a/b/c/d", "b", "a/b-", "..")] == [None] * 5


def test_the_last_member_counts_and_hard_links_are_what_was_there() -> None:
    tree = _tree(
        *(("a", FILE, ""), ("b", HARD_LINK, "./a"), ("a", OTHER, ""), ("c", HARD_LINK, "/a")),
        *(("d", HARD_LINK, "e"), ("e", FILE, "")),
    )
    found = [tree.look(name) for name in "abcd"]
    assert found == [
        *(SourceStat(OTHER), SourceStat(FILE), SourceStat(OTHER)),
        SourceStat(LOST, target="e"),
    ]
    assert tree.members["b"].number == 0


def test_names_that_no_system_has_are_left_out() -> None:
    long = "a/" * (MAX_NAME // 2) + "a"
    assert len(long) == MAX_NAME
    assert list(_tree((long, FILE, ""), (f"{long}b", FILE, "")).members) == [long]


def test_where_a_tree_begins() -> None:
    assert _tree().tops() == [""]
    assert _tree(("a", FILE, "")).tops() == [""]
    assert _tree(("t", DIR, ""), ("t/u/a", FILE, ""), ("t/u/b/c", FILE, "")).tops() == ["", "t/u"]
    assert _tree(("tool/a", FILE, ""), ("toolchain/a", FILE, "")).tops() == [""]
