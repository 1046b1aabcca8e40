from __future__ import annotations

import json
from dataclasses import replace

import pytest

from occlum_build.errors import OcclumError
from occlum_build.image.graph import Edge, Graph
from occlum_build.image.testing import library, program
from occlum_build.image.testing_schema import check_json
from occlum_build.report.model import Item, KnownImage
from occlum_build.report.owners import Owner, Shared, owners_of
from occlum_build.report.size import Part, Sizes, parse_limit
from occlum_build.report.size_output import lines, to_json
from occlum_build.report.testing import FILES, Made

IMAGE = Made().image
SIZES = Sizes(IMAGE)


def test_what_a_bom_line_pays_for_alone_and_what_it_shares() -> None:
    owners, shared = owners_of(IMAGE)
    by_bom = {one.bom: one for one in owners}
    # a needs libx and liby, b needs liby: both need the loader.
    assert by_bom["bom.yaml:4:17"] == Owner("bom.yaml:4:17", 64, 128, 128)
    assert by_bom["bom.yaml:4:20"] == Owner("bom.yaml:4:20", 64, 64, 128)
    assert by_bom["bom.yaml:7:16"] == Owner("bom.yaml:7:16", 203, 203, 0)
    assert [one.bom for one in owners][:3] == ["bom.yaml:7:16", "bom.yaml:4:17", "bom.yaml:4:20"]
    assert shared == [Shared(("bom.yaml:4:17", "bom.yaml:4:20"), 2, 128)]


def test_named_entry_that_another_line_needs_is_shared() -> None:
    bom = """\
targets:
  - {target: /bin, copy: [{files: [a]}]}
  - {target: /lib64, copy: [{files: [/d/libx.so]}]}
"""
    owners, shared = owners_of(Made(bom=bom).image)
    of_library = next(one for one in owners if one.bom.startswith("bom.yaml:3:") and one.named)
    assert (of_library.named, of_library.alone) == (64, 0)
    assert shared[0].boms == tuple(sorted((owners[0].bom, of_library.bom)))


def test_libraries_that_need_each_other() -> None:
    files = {**FILES, "/d/liby.so": library("libx.so", "libw.so"), "/d/libw.so": library(),
             "ws/b": program("libw.so")}  # fmt: skip
    owners, _ = owners_of(Made(files=files).image)
    assert [(one.alone, one.shared) for one in owners if one.named == 64] == [(192, 128), (64, 128)]


def test_without_a_graph_the_line_of_the_manifest_pays() -> None:
    owners, shared = owners_of(replace(IMAGE, graph=None))
    assert shared == []
    assert {one.bom: one.alone for one in owners}["bom.yaml:4:17"] == 64 * 4


def test_of_many_lines_each_pays_for_its_own() -> None:
    # For each group by a look at each line this would take most of a minute.
    items = [
        Item(f"/f{number:05}", "file", 0o644, 1, bom=f"b:{number}:1") for number in range(10_000)
    ]
    owners, shared = owners_of(KnownImage("x", {item.path: item for item in items}))
    assert owners == [Owner(item.bom, 1, 1, 0) for item in items] and shared == []


def test_an_edge_to_what_the_image_does_not_have() -> None:
    graph = Graph((Edge("/bin/a", "/none", "needed", "x", "r"), Edge("/gone", "/bin/b", "holds")))
    assert owners_of(replace(IMAGE, graph=graph))[1] == []


def test_sums() -> None:
    total = sum(item.size for item in IMAGE.items.values())
    assert SIZES.total.size == total == SIZES.directories[0].size
    assert SIZES.layers == [Part("bom.yaml", len(IMAGE.items) - 1, total)]
    assert SIZES.directories[0].entries == len(IMAGE.items) - 1
    assert {one.name: (one.entries, one.size) for one in SIZES.directories}["/data"] == (6, 203)
    assert SIZES.packages[0] == Part("", 7, 395)
    assert SIZES.packages[1:] == [Part("libx1 1.0-1", 1, 64), Part("liby 2:3.0", 1, 64)]
    assert [one.path for one in SIZES.largest(3)] == ["/data/one", "/data/two", "/bin/a"]


def test_duplicates() -> None:
    (found,) = [one for one in SIZES.duplicates if one.size == 100]
    assert (found.paths, found.wasted) == (("/data/one", "/data/two"), 100)


def test_directories_that_have_no_entry() -> None:
    items = {path: Item(path, "file", 0o644, 1) for path in ("/a/b/c/d", "/a/e")}
    sizes = Sizes(KnownImage("x", items))
    assert [(one.name, one.size) for one in sizes.directories] == [
        *(("/", 2), ("/a", 2), ("/a/b", 1), ("/a/b/c", 1)),
    ]
    assert list(lines(sizes, 2))[:3] == [
        "x: 2 entries, 2 bytes",
        "layers (BOM files):",
        "              2  (no BOM line known) (2 entries)",
    ]


def test_as_text_and_as_json() -> None:
    text = list(lines(SIZES, 3))
    assert text[0] == f"app:image: {SIZES.total.entries} entries, {SIZES.total.size} bytes"
    assert "            203               0  bom.yaml:7:16" in text
    assert "            128  2 entries of 2 BOM lines: bom.yaml:4:17, bom.yaml:4:20" in text
    assert "            100  2 times: /data/one, /data/two" in text
    assert any(line.endswith(" more") for line in text)
    value = json.loads(json.dumps(to_json(SIZES, 2)))
    check_json(value, "occlum_build.report", "size.schema.json")
    assert len(value["largest"]) == 2


def test_one_entry_and_no_lists() -> None:
    items = {path: Item(path, "file", 0o644, 1) for path in ("/a",)}
    sizes = Sizes(KnownImage("x", items))
    assert list(lines(sizes, 0)) == ["x: 1 entry, 1 bytes"]
    assert "              1  / (1 entry)" in list(lines(sizes, 1))


def test_limit() -> None:
    SIZES.check(SIZES.total.size)
    with pytest.raises(OcclumError) as error:
        SIZES.check(SIZES.total.size - 1)
    (problem,) = error.value.problems
    assert problem.code == "size"
    assert problem.message.split("\n")[:3] == [
        f"app:image has {SIZES.total.size} bytes, 1 more than the {SIZES.total.size - 1} "
        "that are allowed",
        "  BOM lines, with what only they need:",
        "                203  bom.yaml:7:16",
    ]
    assert "                100  /data/one, /data/two" in problem.message


@pytest.mark.parametrize(
    ("text", "size"), [("200MB", 200 << 20), ("10", 10), ("1 KB", 1024), ("7B", 7)]
)
def test_size_of_a_limit(text: str, size: int) -> None:
    assert parse_limit(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "200 MiB", "1.5GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(OcclumError, match="is no size"):
        parse_limit(text)
