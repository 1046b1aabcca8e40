from __future__ import annotations

from occlum_build.bom.operations import CopyDir, CopyFile, MakeDir, MakeLink, bom_operations
from occlum_build.bom.parse import parse_bom
from occlum_build.errors import Place, Report

TEXT = b"""\
excludes: ["*.o"]
targets:
- target: opt//app/
  mkdirs: [a/, b/../c]
  createlinks: [{src: ../verbatim//, linkname: x/l}]
  copy:
  - from: src/
    dirs: [d, e/, ., f/..]
    files: [b/x, {name: "y*", rename: z, hash: AbC, autodep: false}]
  - {from: /abs}
- target: /
  copy: [{dirs: [/d/, ..]}]
"""


def test_operations() -> None:
    report = Report()
    operations = bom_operations(parse_bom(TEXT, "f"), "ws", {}, report)

    assert report.errors == []
    assert operations.bom == "f"
    assert operations.excludes == ("*.o",)
    assert operations.mkdirs == (
        MakeDir("opt/app", Place("f", 3, 11)),
        MakeDir("opt/app/a", Place("f", 4, 12)),
        MakeDir("opt/app/c", Place("f", 4, 16)),
        MakeDir("", Place("f", 11, 11)),
    )
    assert operations.links == (MakeLink("opt/app/x/l", "../verbatim//", Place("f", 5, 48)),)
    assert [(one.source, one.path, one.contents_only) for one in operations.dirs] == [
        ("ws/src/d", "opt/app", False),
        ("ws/src/e", "opt/app", True),
        ("ws/src", "opt/app", True),
        ("ws/src", "opt/app", True),
        ("/abs", "opt/app", True),
        ("/d", "", True),
        ("", "", True),
    ]
    assert operations.dirs[4] == CopyDir("/abs", "opt/app", True, Place("f", 10, 12))
    plain, pattern = operations.files
    assert plain == CopyFile("ws/src/b/x", "opt/app/x", Place("f", 9, 13), base="ws/src")
    assert (pattern.source, pattern.path, pattern.wildcard) == ("ws/src/y*", "opt/app/z", True)
    assert (pattern.sha256, pattern.autodep) == ("abc", False)


def test_each_mistake_leaves_out_its_item_only() -> None:
    text = b"""\
targets:
- target: ../out
  mkdirs: [not-told]
- target: /
  mkdirs: [/abs, ok]
  copy:
  - {from: ../../out, files: [not-told]}
  - {files: [../../out, "", "d/", ok, {name: a, rename: b/..}], dirs: ["", ../.., ok]}
"""
    report = Report()
    operations = bom_operations(parse_bom(text, "f"), "ws", {}, report)

    assert [one.path for one in operations.mkdirs] == ["", "ok"]
    assert [one.path for one in operations.files] == ["ok"]
    assert [one.source for one in operations.dirs] == ["ws/ok"]
    told = [(one.place.line if one.place else 0, one.message) for one in report.errors]
    assert told == [
        (2, "'../out' leaves the image"),
        (5, "'/abs' is absolute, but is taken relative to the item's `target`"),
        (7, "'../../out' leaves the build root"),
        (8, "the directory's name is empty"),
        (8, "'../..' leaves the build root"),
        (8, "'../../out' leaves the build root"),
        (8, "the file's name is empty"),
        (8, "'d/' is no file name"),
        (8, "'b/..' is no file name"),
    ]


def test_what_has_an_undefined_variable_is_left_out() -> None:
    text = b"""\
targets:
- target: /
  mkdirs: [$NO, m]
  createlinks: [{src: $NO, linkname: l}]
  copy: [{from: src, dirs: [$NO/d, d], files: [$NO, f]}, {from: $NO, files: [g]}]
- {target: $NO, mkdirs: [n]}
"""
    report = Report()
    operations = bom_operations(parse_bom(text, "f"), "ws", {}, report)
    assert [one.path for one in operations.mkdirs] == ["", "m"]
    assert operations.links == ()
    assert [one.source for one in operations.dirs] == ["ws/src/d"]
    assert [one.source for one in operations.files] == ["ws/src/f"]
    assert [one.place and one.place.line for one in report.errors] == [3, 4, 5, 5, 5, 6]
