from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError, Place
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.testing import OldImage
from occlum_build.image.tree import EmptyBase, ImageTree

ORIGIN = Origin(Place("f", 1))


def _tree(*, base: dict[str, str | None] | None = None, **links: str) -> ImageTree:
    """Links by name; "" makes a directory."""
    tree = ImageTree(OldImage(base or {}))
    for name, target in links.items():
        path = name.replace("__", "/")
        kind = SYMLINK if target else DIR
        tree.put(Entry(path, kind, ORIGIN, target=target))
    return tree


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("", ""),
        ("d/x", "d/x"),
        ("not/there/x", "not/there/x"),
        ("l/x", "d/x"),
        ("l", "l"),
        ("abs/x", "d/e/x"),
        ("up/x", "etc/x"),
        ("d/back/x", "d/e/x"),
        ("chain/x", "d/x"),
        ("dangling/x", "new/dir/x"),
    ],
)
def test_locate(path: str, due: str) -> None:
    tree = _tree(
        d="", d__e="", l="d", abs="/d/e", up="../../etc", d__back="../d/./e", chain="l",
        dangling="new/dir",
    )  # fmt: skip
    for _ in range(2):  # the second time from memory
        assert tree.locate(path) == due


def test_locate_through_the_last_link() -> None:
    tree = _tree(d="", l="d", chain="l", dangling="/new/dir")
    assert tree.locate("chain", follow_last=True) == "d"
    assert tree.locate("dangling", follow_last=True) == "new/dir"


def test_loop() -> None:
    tree = _tree(a="b", b="a")
    with pytest.raises(OcclumError, match="the links of /a/x form a loop") as caught:
        tree.locate("a/x", Place("f", 7))
    assert caught.value.code == "link"
    assert caught.value.problems[0].place == Place("f", 7)


def test_new_link_is_seen_at_once() -> None:
    tree = _tree(d="", e="")
    assert tree.locate("l/x") == "l/x"
    tree.put(Entry("l", SYMLINK, ORIGIN, target="d"))
    assert tree.locate("l/x") == "d/x"
    tree.put(Entry("l", SYMLINK, ORIGIN, target="e"))
    assert tree.locate("l/x") == "e/x"
    tree.put(Entry("l", FILE, ORIGIN))
    assert tree.locate("l/x") == "l/x"


def test_links_of_the_old_image_are_followed() -> None:
    tree = _tree(base={"lib": "/usr/lib", "usr": None, "usr/lib": None, "usr/lib/x": ""})
    assert tree.locate("lib/x") == "usr/lib/x"
    assert tree.file_source("lib/x") == "old/usr/lib/x"
    assert tree.is_dir("usr/lib")


def test_file_source() -> None:
    tree = _tree(d="", l="d/f")
    tree.put(Entry("d/f", FILE, ORIGIN, source="ws/f"))
    assert tree.file_source("l") == "ws/f"
    assert tree.file_source("d") is None
    assert tree.file_source("gone") is None


def test_empty_base() -> None:
    tree = ImageTree(EmptyBase())
    assert tree.is_dir("")
    assert tree.lstat("a") is None
    with pytest.raises(KeyError):
        EmptyBase().source("a")


def test_copy_is_independent() -> None:
    tree = _tree(d="")
    copied = tree.copy()
    copied.put(Entry("e", DIR, ORIGIN))
    assert list(tree.entries) == ["d"]
    assert list(copied.entries) == ["d", "e"]
