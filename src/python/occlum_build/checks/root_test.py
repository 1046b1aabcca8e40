from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.checks.root import Root
from occlum_build.checks.testing import root_of
from occlum_build.elf.facts import ElfFacts

ELF = ElfFacts("ET_DYN", "EM_X86_64", 64)


def test_links_are_followed_as_in_a_chroot() -> None:
    root = root_of(
        {
            "/bin": "-> usr/bin",
            "/usr/bin/sh": "-> /opt/../bin/bash",
            "/usr/bin/bash": ELF,
            "/opt": None,
            "/loop": "-> loop",
            "/up": "-> ../../../usr/bin/bash",
        }
    )
    assert root.resolve("/bin/sh") == "/usr/bin/bash"
    assert root.facts("/bin/sh") == ELF
    assert root.resolve("/up") == "/usr/bin/bash"
    assert root.resolve("/") == "/"
    assert root.resolve("/usr//bin/./") == "/usr/bin"
    assert root.resolve("/loop") is None
    assert root.resolve("/usr/bin/bash/x") is None
    assert [root.kind(path) for path in ("/bin", "/bin/sh", "/", "/loop", "/none")] == [
        "dir",
        "file",
        "dir",
        "",
        "",
    ]


def test_what_is_where() -> None:
    root = root_of({"/a/x": b"one # two\n\nthree", "/b/x": ELF, "/b/c/y": ELF})
    assert root.named("x") == ["/a/x", "/b/x"]
    assert root.named("none") == []
    assert root.below("/b/") == ["/b/c/y", "/b/x"]
    assert root.lines("/a/x") == ["one", "", "three"]
    assert root.lines("/a/none") == []
    assert root.facts("/a") is None
    assert "/b/c" in root.paths
    assert "/b/c" not in root.files


def test_links_that_have_a_name() -> None:
    root = root_of({"/a/x": b"", "/b/x": "-> /none", "/c/x": "-> ../a/x", "/x/y": None})
    assert root.named("x") == ["/a/x"]
    assert root.named("x", links=True) == ["/a/x", "/b/x", "/c/x"]
    assert root.named("y", links=True) == ()
    assert sorted(root.names) == ["x"]


def test_a_directory_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/conf").write_text("text")
    (tmp_path / "link").symlink_to("/etc/conf")
    root = Root.of_directory(str(tmp_path))
    assert root.paths == ["/", "/etc", "/etc/conf", "/link"]
    assert root.read("/link") == b"text"
    conf = root.at("/etc/conf")
    assert conf is not None
    assert conf.size == 4


@pytest.mark.parametrize("target", ["/none", "none", "/etc/conf/x"])
def test_links_that_lead_nowhere(target: str) -> None:
    assert root_of({"/etc/conf": b"", "/link": f"-> {target}"}).find("/link") is None


def test_where_following_a_path_ends() -> None:
    root = root_of({"/a": "-> b/../c/d", "/b": None, "/etc/conf": b"", "/loop": "-> loop"})
    assert root.follow("/etc") == ("/etc", True, False)
    assert root.follow("/a") == ("/c/d", False, False)
    assert root.follow("/etc/conf/x") == ("/etc/conf", False, False)
    assert root.follow("/loop") == ("/loop", False, True)


def test_names_in_a_directory() -> None:
    root = root_of({"/a": "-> b", "/b": "-> /a", "/c/d": b"", "/e": "-> c"})
    assert root.kind("/a") == ""
    assert root.resolve("/c/../c/./d") == "/c/d"
    assert root.resolve("/c/d/../..") is None  # d is no directory
    assert root.children("/a") == []
    assert root.children("/") == ["a", "b", "c", "e"]
    assert root.children("/e") == ["d"]
