from __future__ import annotations

import pytest

from occlum_build.checks.links import link_problems
from occlum_build.checks.root import Root, entries_below
from occlum_build.checks.testing import ORIGIN, root_of
from occlum_build.errors import WARNING, Place
from occlum_build.image.entries import SYMLINK, Entry, Origin
from occlum_build.image.testing import TreeView


def _links(**targets: str) -> Root:
    """Links that a directory copy brings, beside the file /etc/conf."""
    copied = [
        Entry(name.replace("_", "/"), SYMLINK, ORIGIN, source=f"/src/{name}", target=target)
        for name, target in targets.items()
    ]
    files = root_of({"/etc/conf": b"", "/opt": None})
    return Root([*filter(None, map(files.at, files.paths[1:])), *copied], files.sources)


@pytest.mark.parametrize(
    "target", ["/etc/conf", "etc/conf", "../../etc/conf", "/", "opt", "other", "/opt/../etc/."]
)
def test_a_link_to_something_is_right(target: str) -> None:
    assert link_problems(_links(link=target, other="opt")) == []


@pytest.mark.parametrize(
    "target",
    ["/proc/self/fd", "/dev/stdout", "/run/x", "/var/run/x", "../tmp", "/sys", "/host/a", "fd/0"],
)
def test_what_is_there_at_run_time_only_is_not_missed(target: str) -> None:
    assert link_problems(_links(link=target, fd="/proc/self/fd")) == []


def test_links_to_nothing_are_told_once_a_line() -> None:
    (problem,) = link_problems(_links(a="/none", b="none", c="etc/conf/x", d="/procs", e="a"))
    assert (problem.code, problem.severity, problem.place) == (
        "link-dangling",
        WARNING,
        Place("bom.yaml", 3, 7),
    )
    assert problem.message == (
        "5 links lead to nothing in the image: /a -> /none, /b -> none, /c -> etc/conf/x and 2 more"
    )
    assert "excludes" in problem.hint


def test_a_single_link_that_is_made() -> None:
    root = root_of({"/bin/sh": "-> bin/bash", "/bin/bash": b""})
    (problem,) = link_problems(root)
    assert problem.message == "the link /bin/sh -> bin/bash leads to nothing in the image"
    assert "starts where the link is" in problem.hint


def test_loops_are_told_as_such() -> None:
    loop, other = link_problems(_links(a="b", b="/a", c="/none"))
    assert loop.message == "2 links form a loop: /a -> b and /b -> /a"
    assert other.message == "the link /c -> /none leads to nothing in the image"


def test_links_of_two_lines_are_told_apart() -> None:
    entries = [
        Entry(path, SYMLINK, Origin(Place("bom.yaml", line)), source="/s", target="x")
        for path, line in (("a", 1), ("b", 2))
    ]
    assert [one.place for one in link_problems(Root(entries, TreeView({})))] == [
        Place("bom.yaml", 1),
        Place("bom.yaml", 2),
    ]


def test_links_that_were_there_before_are_told_together() -> None:
    sources = TreeView({"old/a": "-> x", "old/b": "-> y"})
    (problem,) = link_problems(Root(entries_below(sources, "old"), sources))
    assert problem.place is None
    assert problem.message.startswith("2 links lead")
