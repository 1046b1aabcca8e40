from __future__ import annotations

import json
from dataclasses import replace

import pytest

from occlum_build.errors import WARNING, Place, Problem
from occlum_build.report.diff import compare
from occlum_build.report.model import DIR, FILE, Item, KnownImage
from occlum_build.report.page.difference import difference_json
from occlum_build.report.page.document import digest_of, document
from occlum_build.report.page.html import page
from occlum_build.report.sides import Side
from occlum_build.report.testing import BOM, Made
from occlum_build.shown import in_utf8

MADE = Made()
DOCUMENT = document(MADE.image, name="app:image")
RECORD = {
    "mrenclave": "ab" * 32,
    "mrsigner": None,
    "debuggable": True,
    "inputs": {"image": {"type": "encrypted"}, "toolchain": {}, "list": [1, "x"]},
}


def text(number: int) -> str:
    return str(DOCUMENT["texts"][number])


def test_entries_are_those_of_the_manifest() -> None:
    entries = DOCUMENT["entries"]
    items = [item for item in MADE.image.items.values() if item.path != "/"]
    assert entries["path"] == [item.path for item in items]
    assert list(map(text, entries["bom"])) == [item.bom for item in items]
    assert list(map(text, entries["package"])) == [item.release for item in items]
    one = entries["path"].index("/lib64/libx.so")
    assert list(map(text, entries["needed_by"][one])) == list(items[one].needed_by)
    assert {len(column) for name, column in entries.items() if name != "needed_by"} == {len(items)}


def test_digest_is_that_of_the_image() -> None:
    assert DOCUMENT["digest"] == f"sha256:{MADE.manifest.digest}"
    assert digest_of(MADE.image) == MADE.manifest.digest


def test_each_entry_is_paid_for_once() -> None:
    groups = DOCUMENT["groups"]
    found = sorted(one for group in groups for one in group["entries"])
    assert found == list(range(len(DOCUMENT["entries"]["path"])))
    shared = [group for group in groups if group["lines"] > 1]
    assert [list(map(text, group["boms"])) for group in shared] == [
        ["bom.yaml:4:17", "bom.yaml:4:20"]
    ]


def test_edges_have_levels_names_and_rules() -> None:
    graph = DOCUMENT["graph"]
    level = dict(zip(graph["path"], graph["level"]))
    assert level["/bin/a"] == 0 < level["/lib64/libx.so"] < level["/lib64/liby.so"]
    edges = {
        (graph["path"][origin], graph["path"][to]): text(name)
        for origin, to, name in zip(graph["from"], graph["to"], graph["name"])
    }
    assert edges["/bin/a", "/lib64/libx.so"] == "libx.so"


def test_what_is_missing_and_what_was_found_wrong() -> None:
    (missing,) = DOCUMENT["problems"]
    assert missing["severity"] == WARNING
    assert missing["message"] == "libgone.so, which /bin/a -> /lib64/libx.so needs, was not found"
    assert missing["hint"].startswith("looked for in ")
    problem = Problem("dynamic", "odd\x1b[2J", Place("app/bom.yaml", 3, 4), "mend it")
    told = document(replace(MADE.image, graph=None), name="x", problems=[problem])["problems"]
    assert told[0]["message"] == "odd\\x1b[2J" and told[0]["place"] == "app/bom.yaml:3:4"
    assert told[1]["message"].startswith("there is no graph.json")


def test_measurement() -> None:
    made = document(MADE.image, name="x", record=RECORD)["measurement"]
    assert (made["mrenclave"], made["mrsigner"], made["debuggable"]) == ("ab" * 32, "", True)
    assert ["inputs.image.type", "encrypted"] in made["values"]
    assert ["inputs.list", '[1,"x"]'] in made["values"] and ["inputs.toolchain", "{}"] in made[
        "values"
    ]


def test_difference() -> None:
    old = Made(bom=BOM.replace("[a, b]", "[a]"))
    found = compare(Side("old", old.manifest.full), Side("new", MADE.manifest.full))
    made = document(MADE.image, name="x", difference=difference_json(found))["difference"]
    assert made["summary"].startswith("1 added, +64 bytes")
    (cause,) = made["causes"]
    assert cause["changes"] == [["added", "/bin/b", "64 bytes"]]
    assert "old" not in json.dumps(made)


@pytest.mark.parametrize(
    "name",
    ["</script><img src=x onerror=alert(1)>", "<!--<script>", "a\u202eb\n", "\udc80", "\ud800"],
)
def test_names_of_others_are_data(name: str) -> None:
    digest = in_utf8(name)  # of a manifest, which is UTF-8
    item = Item(f"/{name}", FILE, 0o644, 1, digest, bom=name, package=name, source=name)
    image = KnownImage("x", {"/": Item("/", DIR, 0o755), item.path: item})
    made = page(document(image, name=name, problems=[Problem("x", name, hint=name)]), b"[@DATA@]")
    made.decode("ascii")
    assert b"<" not in made
    value = json.loads(made)[0]
    assert value["entries"]["path"] == [f"/{value['name']}"] and value["name"].isprintable()
    assert value["entries"]["sha256"] == [value["name"]]


def test_the_same_image_is_the_same_document() -> None:
    again = document(Made().image, name="app:image")
    assert page(again, b"@DATA@") == page(DOCUMENT, b"@DATA@")
