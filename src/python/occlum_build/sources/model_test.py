from __future__ import annotations

import pytest

from occlum_build.elf.testing import MemoryView
from occlum_build.errors import OcclumError
from occlum_build.sources.model import MAX_LINKS, hint_for_missing, join, regular_file, resolve

VIEW = MemoryView(
    {
        "ws/d/f": b"",
        "ws/link": "-> d/f",
        "ws/dir": "-> d",
        "ws/up": "-> ../ws/./d//f",
        "ws/abs": "-> /usr/lib/x",
        "ws/out": "-> ../../x",
        "ws/dangling": "-> gone",
        "ws/loop": "-> loop",
        "/usr/lib/x": b"",
        "/lib": "-> usr/lib",
        "/climb": "-> ../../usr",
        **{f"ws/l{n}": f"-> l{n + 1}" for n in range(MAX_LINKS)},
        f"ws/l{MAX_LINKS}": b"",
    }
)


@pytest.mark.parametrize(
    ("base", "path", "due"),
    [
        ("", "a", "a"),
        ("", ".", ""),
        ("", "", ""),
        ("ws", "a/./b//c/", "ws/a/b/c"),
        ("ws", "..", ""),
        ("ws", "../..", None),
        ("ws", "../../x", None),
        ("ws", "/abs/../x", "/x"),
        ("ws", "//abs", "/abs"),
        ("/", "../x", "/x"),
        ("/a", "..", "/"),
        ("ws", "..a", "ws/..a"),
    ],
)
def test_join(base: str, path: str, due: str | None) -> None:
    assert join(base, path) == due


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("ws/d/f", "ws/d/f"),
        ("ws/link", "ws/d/f"),
        ("ws/dir/f", "ws/d/f"),
        ("ws/up", "ws/d/f"),
        ("ws/abs", "/usr/lib/x"),
        ("/lib/x", "/usr/lib/x"),
        ("/climb/lib/x", "/usr/lib/x"),
        ("ws/out", None),
        ("ws/dangling", None),
        ("ws/loop", None),
        ("ws/gone", None),
        ("ws/d/f/x", None),
        ("ws/l1", f"ws/l{MAX_LINKS}"),
        ("ws/l0", f"ws/l{MAX_LINKS}"),
    ],
)
def test_resolve(path: str, due: str | None) -> None:
    assert resolve(VIEW, path) == due


def test_one_link_too_many() -> None:
    entries = {f"l{n}": f"-> l{n + 1}" for n in range(MAX_LINKS + 1)}
    view = MemoryView({**entries, f"l{MAX_LINKS + 1}": b""})
    assert resolve(view, "l1") == f"l{MAX_LINKS + 1}"
    assert resolve(view, "l0") is None


def test_resolve_of_the_link_itself() -> None:
    assert resolve(VIEW, "ws/dir", follow_last=False) == "ws/dir"
    assert resolve(VIEW, "/lib/x", follow_last=False) == "/usr/lib/x"
    assert resolve(VIEW, "ws/dangling", follow_last=False) == "ws/dangling"
    assert resolve(VIEW, "ws/dangling/x", follow_last=False) is None


def test_regular_file() -> None:
    assert regular_file(VIEW, "ws/link") == "ws/d/f"
    assert regular_file(VIEW, "ws/dir") is None
    assert regular_file(VIEW, "ws/gone") is None


def test_hint_where_a_directory_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    view = MemoryView({"/usr/bin/bash": b""})

    def refuse(path: str) -> list[str]:
        raise OcclumError("file", f"{path} cannot be read")

    monkeypatch.setattr(view, "names", refuse)
    assert "sysroot" in hint_for_missing(view, "/usr/bin/bahs", "")


def test_hint_for_a_missing_source() -> None:
    view = MemoryView({"/usr/bin/bash": b"", "/usr/bin/cat": b"", "ws/hello.sh": b"", "a": b""})
    assert hint_for_missing(view, "/usr/bin/bahs", "") == "did you mean /usr/bin/bash?"
    assert hint_for_missing(view, "ws/helo.sh", "ws") == "did you mean ws/hello.sh?"
    for absolute in ("/usr/bin/zzz", "/no/such/file"):
        assert "sysroot" in hint_for_missing(view, absolute, "ws")
    assert hint_for_missing(view, "a/x", "a") == "relative names start at a here"
    assert hint_for_missing(view, "x", "") == "relative names start at the build root here"
