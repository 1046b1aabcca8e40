from __future__ import annotations

import json

from occlum_build.elf.facts import Archive
from occlum_build.elf.interpreter import GLIBC_LOADER
from occlum_build.image.graph import Edge, graph_of, graph_text
from occlum_build.image.manifest import canonical_json
from occlum_build.image.plan import PlanOptions
from occlum_build.image.testing import SHARED_OBJECT, Files, library, plan_bom, program
from occlum_build.image.testing_schema import check_json

CONFIG = f"{GLIBC_LOADER} /d"
BOM = "targets: [{target: /bin, copy: [{files: [a, b]}]}]"
FILES: Files = {
    "ws/a": program("libx.so"),
    "ws/b": program("liby.so"),
    GLIBC_LOADER: SHARED_OBJECT,
    "/d/libx.so": library("liby.so"),
    "/d/liby.so": library(),
}
RULE = "loader config"


def checked(text: bytes) -> dict[str, object]:
    value: dict[str, object] = json.loads(text)
    check_json(value, "occlum_build.image", "graph.schema.json")
    assert text == canonical_json(value)
    return value


def test_who_needs_what() -> None:
    graph = graph_of(plan_bom(BOM, FILES, config=CONFIG).plan)
    assert graph.edges == (
        Edge("/bin/a", GLIBC_LOADER, "interpreter", GLIBC_LOADER, "PT_INTERP"),
        Edge("/bin/a", "/lib64/libx.so", "needed", "libx.so", RULE),
        Edge("/bin/b", GLIBC_LOADER, "interpreter", GLIBC_LOADER, "PT_INTERP"),
        Edge("/bin/b", "/lib64/liby.so", "needed", "liby.so", RULE),
        Edge("/lib64/libx.so", "/lib64/liby.so", "needed", "liby.so", RULE),
    )
    assert graph.missing == ()
    value = checked(graph_text(graph, "0" * 64))
    assert value["edges"][1] == {  # type: ignore[index]
        "from": "/bin/a",
        "to": "/lib64/libx.so",
        "reason": "needed",
        "name": "libx.so",
        "rule": RULE,
    }


def test_a_search_says_more_than_that_a_library_was_loaded_before() -> None:
    files = {**FILES, "ws/a": program("libx.so", "liby.so")}
    for bom in (BOM, BOM.replace("a, b", "b, a")):
        edges = graph_of(plan_bom(bom, files, config=CONFIG).plan).edges
        assert {one.rule for one in edges} == {RULE, "PT_INTERP", "already loaded"}
        found = [one for one in edges if one.to == "/lib64/liby.so"]
        rules = {one.origin: one.rule for one in found}
        # The program has it before libx.so asks for it, and nobody loads libx.so but that program.
        assert rules == {"/bin/a": RULE, "/bin/b": RULE, "/lib64/libx.so": "already loaded"}
    files = {**FILES, "ws/b": program("libx.so", "liby.so")}
    edges = graph_of(plan_bom(BOM, files, config=CONFIG).plan).edges
    assert Edge("/lib64/libx.so", "/lib64/liby.so", "needed", "liby.so", RULE) in edges


def test_an_archive_holds_who_needs_a_library() -> None:
    archive = Archive(members=(("pkg/x.so", library("liby.so")),))
    bom = "targets: [{target: /opt, copy: [{files: [a.zip]}]}]"
    graph = graph_of(plan_bom(bom, {**FILES, "ws/a.zip": archive}, config=CONFIG).plan)
    member = "/opt/a.zip/pkg/x.so"
    assert Edge("/opt/a.zip", member, "holds") in graph.edges
    assert Edge(member, "/lib64/liby.so", "needed", "liby.so", RULE) in graph.edges
    checked(graph_text(graph, "0" * 64))


def test_missing_library() -> None:
    files = {**FILES, "/d/libx.so": library("libgone.so", "liby.so")}
    options = PlanOptions(allow_missing=("libgone.so",))
    graph = graph_of(plan_bom(BOM, files, config=CONFIG, options=options).plan)
    (missing,) = graph.missing
    assert (missing.name, missing.chain) == ("libgone.so", ("/bin/a", "/lib64/libx.so"))
    assert missing.searched[0].startswith("/d/")
    assert missing.searched[0].endswith("(loader config): does not exist")
    checked(graph_text(graph, "0" * 64))


def test_image_without_programs() -> None:
    graph = graph_of(plan_bom("targets: [{target: /a, mkdirs: [b]}]", {}).plan)
    assert graph_text(graph, "ab") == b'{"edges":[],"image":"ab","missing":[],"schema":1}'
