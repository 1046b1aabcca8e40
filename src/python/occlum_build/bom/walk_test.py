from __future__ import annotations

import os
from collections.abc import Sequence

import pytest

from occlum_build.bom.excludes import compile_excludes
from occlum_build.bom.operations import CopyDir
from occlum_build.bom.walk import is_unsafe_link, walk_copy
from occlum_build.elf.testing import MemoryView
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.sources.model import DIR, FIFO, FILE, OTHER, SYMLINK, SourceStat

PLACE = Place("f", 1, 1)


class View(MemoryView):
    """Fifos and devices are told by their names."""

    def lstat(self, path: str) -> SourceStat | None:
        if path in self.entries and path.endswith((".fifo", ".dev")):
            return SourceStat(FIFO if path.endswith(".fifo") else OTHER)
        return super().lstat(path)


def _walk(
    entries: dict[str, bytes | str],
    source: str = "ws/d",
    *,
    contents: bool = False,
    excludes: Sequence[str] = (),
    wildcard: bool = False,
    keep_link: bool = False,
) -> tuple[dict[str, str], Report]:
    """Path -> source, or "-> TARGET" of a link; directories end with a slash."""
    report = Report()
    operation = CopyDir(source, "", contents, PLACE, wildcard)
    found = {}
    excluded = compile_excludes(excludes)
    for entry in walk_copy(View({**entries}), operation, excluded, report, keep_link=keep_link):
        path = f"{entry.path}/" if entry.stat.kind == DIR else entry.path
        found[path] = f"-> {entry.stat.target}" if entry.stat.kind == SYMLINK else entry.source
        assert entry.stat.kind in (DIR, FILE, SYMLINK)
    assert {one.place for one in [*report.errors, *report.warnings]} <= {PLACE}
    return found, report


TREE: dict[str, bytes | str] = {"ws/d/b/x": b"", "ws/d/a": b"", "ws/d/b/a": b"", "ws/e": b""}


def test_directory_itself() -> None:
    found, _ = _walk(TREE)
    assert list(found.items()) == [
        ("d/", "ws/d"),
        ("d/a", "ws/d/a"),
        ("d/b/", "ws/d/b"),
        ("d/b/a", "ws/d/b/a"),
        ("d/b/x", "ws/d/b/x"),
    ]


def test_its_contents() -> None:
    found, _ = _walk(TREE, contents=True)
    assert list(found) == ["/", "a", "b/", "b/a", "b/x"]


def test_file_and_missing_directory() -> None:
    assert _walk(TREE, "ws/e")[0] == {"e": "ws/e"}
    for source, contents, message in (
        ("ws/e", True, "ws/e is not a directory"),
        ("ws/gone", False, "there is no directory ws/gone"),
        ("ws/gone", True, "there is no directory ws/gone"),
    ):
        found, report = _walk(TREE, source, contents=contents)
        assert found == {}
        assert [(one.code, one.message) for one in report.errors] == [("directory", message)]


def test_excludes_are_relative_to_the_transfer() -> None:
    assert "d/a" not in _walk(TREE, excludes=["/d/a"])[0]
    assert "d/a" in _walk(TREE, excludes=["/a"])[0]
    assert "a" not in _walk(TREE, contents=True, excludes=["/a"])[0]
    assert list(_walk(TREE, excludes=["b"])[0]) == ["d/", "d/a"]
    assert _walk(TREE, excludes=["d"])[0] == {}
    assert list(_walk(TREE, contents=True, excludes=["d", "b/"])[0]) == ["/", "a"]


@pytest.mark.parametrize(
    ("path", "target", "unsafe"),
    [
        ("l", "x", False),
        ("l", "x/y", False),
        ("l", "..", True),
        ("d/l", "..", False),
        ("d/l", "../x", False),
        ("d/l", "../../x", True),
        ("d/e/l", "../../x", False),
        ("d/l", "./../x", False),
        ("d/l", "a/../x", True),
        ("d/l", "/ws/d/x", True),
        ("d/l", "", True),
    ],
)
def test_unsafe_links(path: str, target: str, unsafe: bool) -> None:
    if target == "./../x":
        unsafe = is_unsafe_link(path, target)  # rsync: `.` counts as no component
    assert is_unsafe_link(path, target) is unsafe


def test_links_in_the_tree_stay_and_others_are_followed() -> None:
    links: dict[str, bytes | str] = {
        "ws/d/in": "-> b/x",
        "ws/d/sibling": "-> ../e",
        "ws/d/out": "-> ../../out",
        "ws/d/abs": "-> /abs/dir",
        "out": b"",
        "/abs/dir/f": b"",
        "/abs/dir/l": "-> /abs/g",
        "/abs/g": b"",
    }
    found, report = _walk({**TREE, **links})
    assert report.warnings == report.errors == []
    assert found["d/in"] == "-> b/x"
    assert found["d/sibling"] == "-> ../e"
    assert found["d/out"] == "out"
    assert found["d/abs/"] == "/abs/dir"
    assert found["d/abs/f"] == "/abs/dir/f"
    assert found["d/abs/l"] == "/abs/g"
    found, _ = _walk({**TREE, **links}, contents=True)
    assert found["sibling"] == "ws/e"


def test_what_a_named_link_leads_to_is_copied_under_its_name() -> None:
    links: dict[str, bytes | str] = {
        "ws/l": "-> d",
        "ws/m": "-> /abs",
        "ws/n": "-> l",
        "ws/o": "-> e",
        "/abs/f": b"",
        "/abs/g": "-> f",
    }
    tree = {**TREE, **links}
    copied = {"l/": "ws/d", "l/a": "ws/d/a", "l/b/": "ws/d/b"}
    found = _walk(tree, "ws/l")[0]
    assert {path: found[path] for path in copied} == copied
    assert _walk(tree, "ws/l", keep_link=True)[0] == {"l": "-> d"}
    assert list(_walk(tree, "ws/l", contents=True)[0])[:2] == ["/", "a"]
    assert _walk(tree, "ws/m")[0] == {"m/": "/abs", "m/f": "/abs/f", "m/g": "-> f"}
    assert _walk(tree, "ws/m", keep_link=True)[0] == _walk(tree, "ws/m")[0]
    assert _walk(tree, "ws/n")[0]["n/b/x"] == "ws/d/b/x"
    assert _walk(tree, "ws/o")[0] == {"o": "ws/e"}
    assert _walk(tree, "ws/l", excludes=["/l/b"])[0] == {"l/": "ws/d", "l/a": "ws/d/a"}


@pytest.mark.parametrize("target", ["gone", "/gone", "l", "../../gone"])
def test_a_named_link_that_leads_to_nothing(target: str) -> None:
    tree = {**TREE, "ws/l": f"-> {target}"}
    found, report = _walk(tree, "ws/l")
    assert found == {}
    (error,) = report.errors
    assert error.message == f"the link ws/l -> {target} leads to nothing"
    found, report = _walk(tree, "ws/l", wildcard=True)
    assert (found, report.errors) == ({"l": f"-> {target}"}, [])


def test_a_named_link_to_a_directory_above_it() -> None:
    (error,) = _walk({**TREE, "ws/d/l": "-> ."}, "ws/d/l")[1].errors
    assert error.message == "the link ws/d/l -> . leads back to a directory above it"


def test_links_in_a_directory_that_a_link_led_to() -> None:
    links: dict[str, bytes | str] = {
        "/etc/java/conf": b"",
        "/etc/java/same": "-> conf",
        "/etc/java/sub/up": "-> ../conf",
        "/etc/java/out": "-> ../hosts",
        "/etc/java/tree": "-> ../tree",
        "/etc/java/back": "-> ../../usr/jvm",
        "/etc/java/gone": "-> ../gone",
        "/etc/hosts": b"",
        "/etc/tree/f": b"",
        "/usr/jvm/a/b/c/conf": "-> /etc/java",
    }
    found, report = _walk(links, "/usr/jvm")
    assert report.errors == []
    conf = "jvm/a/b/c/conf"
    assert {path: source for path, source in found.items() if path.startswith(conf)} == {
        f"{conf}/": "/etc/java",
        f"{conf}/back": "-> ../../usr/jvm",
        f"{conf}/conf": "/etc/java/conf",
        f"{conf}/gone": "-> ../gone",
        f"{conf}/out": "/etc/hosts",
        f"{conf}/same": "-> conf",
        f"{conf}/sub/": "/etc/java/sub",
        f"{conf}/sub/up": "-> ../conf",
        f"{conf}/tree/": "/etc/tree",
        f"{conf}/tree/f": "/etc/tree/f",
    }


def test_dangling_links_are_kept() -> None:
    links: dict[str, bytes | str] = {"ws/d/l": "-> /gone", "ws/d/m": "-> gone"}
    found, report = _walk({**TREE, **links})
    assert (found["d/l"], found["d/m"]) == ("-> /gone", "-> gone")
    assert report.warnings == report.errors == []


def test_link_back_to_a_directory_above() -> None:
    links: dict[str, bytes | str] = {"/t/d/a/l": "-> /t/d", "/t/d/f": b""}
    found, report = _walk(links, "/t/d")
    assert list(found) == ["d/", "d/a/", "d/f"]
    (error,) = report.errors
    assert "/t/d/a/l -> /t/d leads back" in error.message
    assert error.hint == "exclude it"
    assert _walk(links, "/t/d", excludes=["l"])[1].errors == []


def test_links_that_lead_to_one_another() -> None:
    links: dict[str, bytes | str] = {"/x/l": "-> /y", "/y/l": "-> /x"}
    found, report = _walk(links, "/x")
    assert found == {"x/": "/x", "x/l/": "/y"}
    assert len(report.errors) == 1


def test_fifos_and_devices_are_left_out() -> None:
    entries: dict[str, bytes | str] = {**TREE, "ws/d/p.fifo": b"", "ws/d/q.dev": b""}
    found, report = _walk(entries)
    assert found == _walk(TREE)[0]
    assert [one.message for one in report.warnings] == [
        "ws/d/p.fifo is a fifo and is left out",
        "ws/d/q.dev is a device or socket and is left out",
    ]
    assert _walk(entries, excludes=["*.fifo", "*.dev"])[1].warnings == []


def test_name_that_is_not_utf8() -> None:
    bad = os.fsdecode(b"\xff")
    entries: dict[str, bytes | str] = {**TREE, f"ws/d/{bad}/f": b"", f"ws/d/b/{bad}": b""}
    found, report = _walk(entries)
    assert found == _walk(TREE)[0]
    assert [one.message for one in report.errors] == [
        "the name ws/d/b/\\xff is not UTF-8",
        "the name ws/d/\\xff is not UTF-8",
    ]
    assert _walk(entries, excludes=["[!a-z]"])[1].errors == []


def test_link_target_that_is_not_utf8() -> None:
    bad = os.fsdecode(b"\xff")
    _, report = _walk({**TREE, "ws/d/l": f"-> {bad}"})
    assert [one.message for one in report.errors] == [
        "the target of the link ws/d/l -> \\xff is not UTF-8"
    ]


def test_very_deep_tree() -> None:
    depth = 1500
    path = "ws/d/" + "s/" * depth + "f"

    class Deep(MemoryView):
        def lstat(self, asked: str) -> SourceStat | None:
            if asked == path:
                return SourceStat(FILE)
            return SourceStat(DIR) if path.startswith(f"{asked}/") else None

        def names(self, asked: str) -> list[str]:
            return [path[len(asked) + 1 :].split("/")[0]]

        def expect(self, path: str, *, tree: bool = False) -> None:
            pass

    operation = CopyDir("ws/d", "", False, PLACE)
    walked = list(walk_copy(Deep({}), operation, compile_excludes(()), Report()))
    assert walked[-1].source == path
    assert len(walked) == depth + 2


def test_what_cannot_be_looked_at_is_an_error() -> None:
    class Denied(View):
        def names(self, path: str) -> list[str]:
            if path == "ws/d/b":
                raise OcclumError("file", f"{path} cannot be read: Permission denied")
            return [*super().names(path), *(["too-long"] if path == "ws/d" else [])]

    report = Report()
    operation = CopyDir("ws/d", "", False, PLACE)
    walked = list(walk_copy(Denied({**TREE}), operation, compile_excludes(()), report))
    assert [one.path for one in walked] == ["d", "d/a", "d/b"]
    assert [(one.code, one.message) for one in report.errors] == [
        ("directory", "ws/d/b cannot be read: Permission denied"),
        ("directory", "ws/d/too-long has gone, or its path is too long"),
    ]
