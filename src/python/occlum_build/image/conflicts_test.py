from __future__ import annotations

import pytest

from occlum_build.bom.operations import CopyDir, Operations
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.image.conflicts import Overrides, check_kind, drop_overridden_dirs
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.testing import OldImage, TreeView
from occlum_build.image.tree import ImageTree

FIRST, SECOND = Origin(Place("f", 1)), Origin(Place("g", 2), ("m", "rule"))


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (DIR, FILE, "file"),
        (FILE, DIR, "directory"),
        (DIR, SYMLINK, "link"),
        (SYMLINK, DIR, "link"),
        (FILE, SYMLINK, ""),
        (SYMLINK, FILE, ""),
        (DIR, DIR, ""),
        (FILE, FILE, ""),
    ],
)
def test_kinds(before: str, after: str, code: str) -> None:
    tree = ImageTree(OldImage({}))
    tree.put(Entry("a", before, FIRST, target="x"))
    entry = Entry("a", after, SECOND)
    if not code:
        check_kind(tree, entry)
        return
    with pytest.raises(OcclumError) as caught:
        check_kind(tree, entry)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert problem.place == SECOND.place
    assert problem.message.endswith(" at f:1")


def test_kind_of_what_was_there_before() -> None:
    tree = ImageTree(OldImage({"a": None}))
    with pytest.raises(OcclumError, match="the directory there before") as caught:
        check_kind(tree, Entry("a", FILE, FIRST))
    assert "empty the image" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("before", "after", "due"),
    [
        (Entry("p/a", DIR, FIRST), Entry("p/a", FILE, SECOND), "give one of them another path"),
        (
            Entry("p/a", DIR, FIRST, source="s"),
            Entry("p/a", FILE, SECOND),
            'give one of them another path, or leave the copied directory out: `excludes: ["a/"]`',
        ),
    ],
)
def test_a_copied_directory_can_be_left_out(before: Entry, after: Entry, due: str) -> None:
    tree = ImageTree(OldImage({}))
    tree.put(before)
    with pytest.raises(OcclumError) as caught:
        check_kind(tree, after)
    assert caught.value.problems[0].hint == due
    with pytest.raises(OcclumError) as caught:
        check_kind(tree, after, "x/a")
    assert caught.value.problems[0].hint == due.replace('"a/"', '"/x/a/"')


def _file(path: str, source: str, origin: Origin, size: int = 1) -> Entry:
    return Entry(path, FILE, origin, source=source, size=size)


def test_overrides_are_told_by_pairs_of_lines() -> None:
    overrides = Overrides(TreeView({"a": b"1", "b": b"2", "same": b"1"}))
    for path in "vwxyz":
        overrides.note(_file(path, "a", FIRST), _file(path, "b", SECOND))
    overrides.note(_file("s", "a", FIRST), _file("s", "same", SECOND))
    overrides.note(_file("s", "a", FIRST), _file("s", "a", SECOND))
    overrides.note(None, _file("n", "b", SECOND))
    link = Entry("l", SYMLINK, FIRST, target="x")
    overrides.note(link, Entry("l", SYMLINK, SECOND, target="x"))
    report = Report()
    overrides.report(report, as_errors=False)
    (warning,) = report.warnings
    assert warning.message == "overrides what f:1 puts at /v, /w, /x and 2 more"
    assert warning.place == SECOND.place

    overrides.note(link, _file("l", "a", Origin(Place("h"))))
    overrides.report(report, as_errors=True)
    assert [one.place for one in report.errors] == [SECOND.place, Place("h")]


def _operations(bom: str, *dirs: CopyDir) -> Operations:
    return Operations(bom, (), (), (), dirs, ())


def test_directories_that_a_later_bom_overrides() -> None:
    def copy(source: str, line: int, *, contents: bool = False, wildcard: bool = False) -> CopyDir:
        return CopyDir(source, "t", contents, Place("f", line), wildcard)

    first = _operations("a", copy("x/d", 1), copy("y/d", 2), copy("x/e", 3), copy("x/*", 4,
                        wildcard=True), copy("x/d", 5, contents=True))  # fmt: skip
    second = _operations("b", copy("z/d", 6), copy("x/e", 7), copy("z/*", 8, wildcard=True))
    report = Report()
    kept = drop_overridden_dirs([first, second], report)
    assert [[one.place.line for one in bom.dirs] for bom in kept] == [[4, 5], [6, 7, 8]]
    told = [(one.message, one.place) for one in report.warnings]
    assert told == [
        ("overrides the whole directory that f:1 copies", Place("f", 6)),
        ("overrides the whole directory that f:2 copies", Place("f", 6)),
    ]
