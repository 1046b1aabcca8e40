from __future__ import annotations

from dataclasses import replace

import pytest

from occlum_build.errors import Place
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.oci.grouping import (
    Group,
    group_entries,
    group_instance,
    with_parents,
    within_budget,
)
from occlum_build.oci.rootfs import in_container

GROUPS = [Group("a", ("a",), 5), Group("b", ("b",), 9), Group("c", ("c",), 1)]


def _file(path: str, source: str, size: int, bom: str = "bom.yaml") -> Entry:
    return Entry(path, FILE, Origin(Place(bom)), source=source, size=size)


def _library(path: str, size: int, bom: str = "bom.yaml") -> Entry:
    origin = Origin(Place(bom), ("/bin/app", "found"))
    return Entry(path, FILE, origin, source=f"/usr/{path}", size=size)


ENTRIES = (
    Entry("", DIR, Origin(Place("bom.yaml"))),
    Entry("lib", DIR, Origin(Place("bom.yaml"), ("/bin/app", "found"))),
    Entry("tmp", DIR, Origin(Place("bom.yaml"))),
    Entry("bin/sh", SYMLINK, Origin(Place("bom.yaml")), target="bash"),
    _file("bin/bash", "/bin/bash", 100, "common.yaml"),
    _file("app/app.sh", "app.sh", 1),
    _library("lib64/ld-linux-x86-64.so.2", 20),
    _library("lib/libc.so.6", 30, "common.yaml"),
    _library("lib/libtinfo.so.6", 10, "common.yaml"),
)


def test_groups() -> None:
    assert group_entries(ENTRIES) == (
        Group("C library", ("lib/libc.so.6", "lib64/ld-linux-x86-64.so.2"), 50),
        Group("libraries", ("lib/libtinfo.so.6",), 10),
        Group("files of the system", ("bin/bash",), 100),
        Group("files", ("app/app.sh", "bin/sh", "tmp"), 1),
    )


def test_the_order_of_entries_does_not_matter() -> None:
    assert group_entries(ENTRIES[::-1]) == group_entries(ENTRIES)


def test_the_name_of_a_bom_does_not_matter() -> None:
    named = [
        entry._replace(origin=replace(entry.origin, place=Place(f"z{entry.origin.place.file}")))
        for entry in ENTRIES
    ]
    other = ENTRIES[-1]._replace(path="lib/liba.so", origin=Origin(Place("a.yaml"), ("b", "c")))
    renamed = other._replace(origin=Origin(Place("zz.yaml"), ("b", "c")))
    assert group_entries([*named, renamed]) == group_entries([*ENTRIES, other])


def test_another_program_leaves_the_other_groups_alone() -> None:
    groups = group_entries((*ENTRIES, _file("app/b.sh", "b.sh", 2, "b.yaml")))
    assert set(group_entries(ENTRIES)) < set(groups)


@pytest.mark.parametrize(
    ("budget", "names"),
    [(4, ["a", "b", "c"]), (3, ["a", "b", "c"]), (2, ["b", "others"]), (1, ["others"])],
)
def test_budget(budget: int, names: list[str]) -> None:
    groups = within_budget(GROUPS, budget)
    assert [group.name for group in groups] == names
    assert sorted(path for group in groups for path in group.paths) == ["a", "b", "c"]
    assert sum(group.size_bytes for group in groups) == 15


def test_instance() -> None:
    below = (
        ("build/lib/libocclum-pal.so.0.31.0", 3),
        ("build/lib/libocclum-libos.signed.so", 4),
        ("build/mount/__ROOT/metadata", 5),
        ("build/initfs/.ROOT_MAC", 6),
        ("initfs/bin/init", 7),
        ("build", 0),
    )
    files = [("etc", 0), *((f"run/rune/i/{path}", size) for path, size in below)]
    groups = group_instance(files, "run/rune/i")
    assert [(group.name, group.size_bytes) for group in groups] == [
        ("PAL", 3),
        ("initfs", 13),
        ("image", 5),
        ("enclave", 4),
    ]
    assert groups[-1].paths == ("etc", "run/rune/i/build/lib/libocclum-libos.signed.so")


def test_what_of_an_instance_is_in_a_container() -> None:
    assert in_container("build/lib/libocclum-libos.signed.so")
    assert in_container("build/.Occlum_sys.json.protected")
    assert not in_container("build/.Occlum_sys.json")
    assert not in_container("build/lib/libocclum-libos_sim.so.0.31.0")


def test_parents() -> None:
    assert with_parents(["b", "a/b/d", "a/b/c"]) == ["a", "a/b", "a/b/c", "a/b/d", "b"]
