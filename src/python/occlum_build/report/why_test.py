from __future__ import annotations

import json
from dataclasses import replace

import pytest

from occlum_build.elf.facts import Archive
from occlum_build.errors import OcclumError
from occlum_build.image.graph import NEEDED, Edge, Graph
from occlum_build.image.testing import library
from occlum_build.image.testing_schema import check_json
from occlum_build.report import chains
from occlum_build.report.model import DIR, FILE, Item, KnownImage
from occlum_build.report.queries import absent, find
from occlum_build.report.testing import FILES, Made
from occlum_build.report.why import Why, groups
from occlum_build.report.why_output import absent_error, lines, to_json

IMAGE = Made().image
LIBX, LIBY = "/lib64/libx.so", "/lib64/liby.so"


def told(*queries: str, image: KnownImage = IMAGE, every: bool = False) -> list[str]:
    why = Why(image, every=every)
    answers = [one for query in queries for one in why.answers(query)]
    value = to_json(image, answers)
    check_json(json.loads(json.dumps(value)), "occlum_build.report", "why.schema.json")
    return list(lines(image, answers))


def test_the_shortest_chain_with_its_evidence() -> None:
    assert told(LIBY) == [
        "/lib64/liby.so: file, 64 bytes",
        "  bom.yaml:4:20 copies ws/b",
        "  -> /bin/b",
        "  -> DT_NEEDED liby.so, found by loader config: /lib64/liby.so (liby 2:3.0)",
    ]


def test_all_chains() -> None:
    assert told("liby.so", every=True) == [
        "/lib64/liby.so: file, 64 bytes",
        "  bom.yaml:4:20 copies ws/b",
        "  -> /bin/b",
        "  -> DT_NEEDED liby.so, found by loader config: /lib64/liby.so (liby 2:3.0)",
        "  bom.yaml:4:17 copies ws/a",
        "  -> /bin/a",
        "  -> DT_NEEDED libx.so, found by loader config: /lib64/libx.so (libx1 1.0-1)",
        "  -> DT_NEEDED liby.so, found by loader config: /lib64/liby.so (liby 2:3.0)",
    ]


def test_of_chains_of_one_length_that_of_the_first_bom_line_is_told() -> None:
    loader = told("ld-linux-x86-64.so.2")
    assert loader[1:3] == ["  bom.yaml:4:17 copies ws/a", "  -> /bin/a"]
    assert loader[3].startswith("  -> PT_INTERP: /")
    assert chains.place_key("a:5:9") < chains.place_key("a:5:17") < chains.place_key("a:12:1")
    assert chains.place_key("//app:bom") == ("//app:bom", 0, 0)


@pytest.mark.parametrize("digits", [19, 5000])
def test_place_with_a_number_that_is_none(digits: int) -> None:
    for place in (f"a:{'9' * digits}:1", f"a:1:{'9' * digits}"):
        assert chains.place_key(place) == (place, 0, 0)


def test_what_the_bom_names() -> None:
    assert told("/bin/a", "/data/link", "/data/tmp") == [
        *("/bin/a: file, 64 bytes", "  bom.yaml:4:17 copies ws/a", "  -> /bin/a"),
        *("/data/link: link to ../bin/a", "  bom.yaml:10:35", "  -> /data/link"),
        *("/data/tmp: directory with 0 entries, 0 bytes", "  bom.yaml:8:14", "  -> /data/tmp"),
    ]


def test_the_root_is_there_for_no_bom_line() -> None:
    for every in (False, True):
        assert told("/", every=every)[:3] == [
            *("/: directory with 14 entries, 523 bytes", "  the root of the image", "  below it:"),
        ]
    answers = Why(IMAGE).answers("/")
    (entry,) = to_json(IMAGE, answers)["answers"][0]["entries"]
    assert entry == {"path": "/", "type": "dir", "chains": []}
    assert groups([IMAGE.items["/"]], chains.Chains(IMAGE)) == []
    assert "/" not in find(IMAGE, "/*")[0].paths and "/" not in find(IMAGE, "*")[0].paths


@pytest.mark.parametrize("query", ["", "package:"])
def test_what_asks_for_nothing(query: str) -> None:
    with pytest.raises(OcclumError, match="asks for nothing") as error:
        Why(IMAGE).answers(query)
    assert error.value.code == "usage"


def test_path_over_a_link_of_the_image() -> None:
    files = {**FILES, "ws/data/lib": "-> ../lib64"}
    assert told("/data/lib/liby.so", image=Made(files=files).image)[0].startswith(LIBY)


def test_directory_tells_what_is_below() -> None:
    assert told("/data") == [
        "/data: directory with 6 entries, 203 bytes",
        "  bom.yaml:8:14 copies ws/data",
        "  -> /data",
        "  below it:",
        "    bom.yaml:7:16: 4 named, 203 bytes",
        "    bom.yaml:8:14: 1 named, 0 bytes",
        "    bom.yaml:10:35: 1 named, 0 bytes",
    ]


def test_directory_that_was_made_for_a_library() -> None:
    found = told("/lib64/")
    assert found[-4:] == [
        "  -> in: /lib64",
        "  below it:",
        "    bom.yaml:4:17: 2 needed by what it names, 128 bytes",
        "    bom.yaml:4:20: 1 needed by what it names, 64 bytes",
    ]


@pytest.mark.parametrize(
    ("query", "kind", "paths"),
    [
        ("libx1", "package", [LIBX]),
        ("package:lib*", "package", [LIBX, LIBY]),
        ("lib?.so", "pattern", [LIBX, LIBY]),
        ("/data/*", "pattern", ["/data/link", "/data/one", "/data/sub", "/data/sub/three",
                                "/data/tmp", "/data/two"]),
        ("*/libx.so", "pattern", [LIBX]),
        ("/d/libx.so", "source", [LIBX]),
        ("ws/a", "source", ["/bin/a"]),
        ("bin/a", "path", ["/bin/a"]),
        ("three", "name", ["/data/sub/three"]),
        ("/", "directory", ["/"]),
    ],
)  # fmt: skip
def test_what_may_be_asked_for(query: str, kind: str, paths: list[str]) -> None:
    (found,) = find(IMAGE, query)
    assert (found.kind, list(found.paths)) == (kind, paths)


def test_name_of_a_file_and_of_a_package() -> None:
    packages = {"/d/libx.so": ("liby.so", "1")}
    found = find(Made(packages=packages).image, "liby.so")
    assert [one.kind for one in found] == ["name", "package"]
    assert [one.paths for one in found] == [(LIBY,), (LIBX,)]


def test_soname_that_no_file_has() -> None:
    edge = Edge("/bin/a", LIBX, "needed", "libold.so", "loader config")
    (found,) = find(replace(IMAGE, graph=Graph((edge,))), "libold.so")
    assert found.paths == (LIBX,)


def test_member_of_an_archive() -> None:
    files = {**FILES, "ws/data/x.zip": Archive(members=(("p/x.so", library("liby.so")),))}
    image = Made(files=files).image
    assert told("/data/x.zip/p/x.so", image=image) == [
        "/data/x.zip/p/x.so: an ELF file in an archive",
        "  bom.yaml:7:16 copies ws/data/x.zip",
        "  -> /data/x.zip",
        "  -> holds: /data/x.zip/p/x.so",
    ]


def test_absent_path() -> None:
    error = absent_error(Why(IMAGE).answers("/lib64/libz.so"))
    assert error is not None
    (problem,) = error.problems
    assert problem.code == "absent"
    assert problem.message.split("\n") == [
        "/lib64/libz.so: the image does not have it; looked for",
        "  1. /lib64 is there and has 3 entries, but not /lib64/libz.so",
        "  2. as the source of an entry: none is copied from there",
    ]
    assert problem.hint.startswith("did you mean /lib64/lib")
    assert told("/lib64/libz.so") == []


def test_absent_library_that_the_loader_looked_for() -> None:
    searched = absent(IMAGE, "libgone.so").searched
    start = searched.index("needed by /bin/a -> /lib64/libx.so, and missing:")
    assert searched[start + 1] == "by its loader: /d/libgone.so (loader config): does not exist"
    assert all(one.startswith("by its loader: /") for one in searched[start + 1 :])


def test_absent_below_a_file_and_near_packages() -> None:
    assert absent(IMAGE, "/bin/a/b").searched[0] == "/bin/a is there, and is no directory"
    assert "package:libx1" in absent(IMAGE, "libx2").nearest
    assert absent(IMAGE, "/no/*").nearest == ()
    assert absent(IMAGE, "/..").searched  # leads to the root, which is there


def test_absent_package_is_looked_for_among_packages_alone() -> None:
    found = absent(IMAGE, "package:libx2")
    assert found.searched == ("as the package of an entry: none is of it",)
    assert found.nearest == ("package:libx1", "package:liby")
    assert absent(IMAGE, "package:libgone.so").searched == found.searched
    assert absent(IMAGE, "package:a/b").nearest == ()


def test_absent_pattern_with_a_slash() -> None:
    assert absent(IMAGE, "/no/*").searched == (
        "in the paths of 15 entries: none is like it",
        "as the source of an entry: none is copied from there",
    )


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("a[1].txt", "name"),
        ("ws/data/a[1].txt", "source"),
        ("/data/a[1].txt", "path"),
        ("data/sub/../a[1].txt", "path"),
        ("a[[]1].txt", "pattern"),
    ],
)
def test_name_with_brackets(query: str, kind: str) -> None:
    files = {**FILES, "ws/data/a[1].txt": b"1", "ws/data/a1.txt": b"2"}
    (found,) = find(Made(files=files).image, query)
    assert (found.kind, found.paths) == (kind, ("/data/a[1].txt",))


def test_without_a_graph_the_chain_of_the_manifest_is_told() -> None:
    image = replace(IMAGE, graph=None)
    assert told("liby.so", image=image)[1:] == [
        "  bom.yaml:4:17 copies ws/a",
        "  -> /bin/a",
        "  -> DT_NEEDED: /lib64/libx.so (libx1 1.0-1)",
        "  -> DT_NEEDED liby.so, found by loader config: /lib64/liby.so (liby 2:3.0)",
    ]
    (note,) = Why(image).notes()
    assert "no graph.json of this image" in note.message
    assert told("liby.so", image=image, every=True) == told("liby.so", image=image)


def test_graph_in_a_circle_and_one_with_very_many_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "MOST_CHAINS", 5)
    layers = [["/bin/a", "/bin/b"], *([f"/l/{n}{m}" for m in "abc"] for n in range(6)), [LIBY]]
    edges = [
        Edge(one, other, "needed", "x", "r")
        for before, after in zip(layers, layers[1:])
        for one in before
        for other in after
    ]
    circle = [Edge(LIBY, "/l/0a", "needed", "x", "r"), Edge(LIBY, LIBX, "needed", "x", "r")]
    image = replace(IMAGE, graph=Graph(tuple(sorted([*edges, *circle]))))
    why = Why(image, every=True)
    (answer,) = why.answers(LIBY)
    assert len(answer.chains[LIBY]) == 5
    assert [note.message for note in why.notes()] == ["there are more chains than are told"]


def test_dense_graph_is_looked_at_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = 0, chains.Step

    def step(*args: str) -> chains.Step:
        nonlocal made
        made += 1
        return real(*args)

    libraries = [LIBX, LIBY, *(f"/l/{number}" for number in range(40))]
    edges = [
        Edge(one, other, "needed", "x", "r") for one in libraries for other in libraries
        if one != other
    ]  # fmt: skip
    edges.append(Edge("/bin/a", LIBX, "needed", "x", "r"))
    image = replace(IMAGE, graph=Graph(tuple(sorted(edges))))
    monkeypatch.setattr(chains, "_MOST_STEPS", 100)
    monkeypatch.setattr(chains, "Step", step)
    found = chains.Chains(image)
    (first, *_) = found.every(LIBY)
    assert [one.path for one in first.steps] == ["/bin/a", LIBX, LIBY]
    assert found.is_cut and made <= 2 * 100 + 10


def test_many_entries_are_told_by_their_bom_lines() -> None:
    files = {**FILES, **{f"ws/data/n{number}": b"1" for number in range(30)}}
    assert told("/data/n*", image=Made(files=files).image) == [
        "/data/n*: as a pattern, 30 entries, 30 bytes",
        "  bom.yaml:7:16: 30 named, 30 bytes",
    ]


def test_pattern_that_matches_nothing() -> None:
    assert find(IMAGE, "/bin/[z-a]") == find(IMAGE, "[b-a]") == []


@pytest.mark.parametrize("is_ring", [False, True])
def test_a_very_long_line_is_no_square_of_copies(
    is_ring: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 3_000
    monkeypatch.setattr(chains, "_MOST_COPIED", 4 * count)
    needed = ("/x", "/y", "rule")
    items = {"/": Item("/", DIR, 0o755), "/0": Item("/0", FILE, 0o644, bom="b:1:1")}
    items.update(
        (f"/{n}", Item(f"/{n}", FILE, 0o644, 1, needed_by=needed)) for n in range(1, count)
    )
    edges = [Edge(f"/{n}", f"/{n + 1}", NEEDED) for n in range(count - 1)]
    if is_ring:
        edges.append(Edge(f"/{count - 1}", "/1", NEEDED))
    image = KnownImage("image", items, Graph(tuple(sorted(edges))))
    found = chains.Chains(image)
    (chain,) = found.every(f"/{count - 1}")
    assert [step.path for step in chain.steps] == [f"/{n}" for n in range(count)]
    assert not found.is_cut
    (group,) = groups(items.values(), found)
    assert (group.bom, group.named, group.needed) == ("b:1:1", 1, count - 1)


@pytest.mark.parametrize("query", ["libgone", "package:libgone"])
def test_an_image_of_no_packages_says_so(query: str) -> None:
    found = absent(Made(packages={}).image, query)
    assert found.searched[-1].startswith("as a package: the manifest names none, as the image was")
    assert "names none" not in absent(IMAGE, query).searched[-1]
