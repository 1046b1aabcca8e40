from __future__ import annotations

import hashlib
import json
import os
from typing import Any

import pytest

from occlum_build.errors import Place
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.manifest import (
    canonical_json,
    exchanged_text,
    image_digest,
    manifest_of,
    manifest_text,
)
from occlum_build.image.testing_schema import check_manifest

ORIGIN = Origin(Place("bom.yaml", 3, 5))
LIBRARY = Origin(Place("bom.yaml", 3, 5), ("ws/m", "liba.so found by RPATH"))
ENTRIES = [
    Entry("", DIR, ORIGIN, 0o700, "ws/d"),
    Entry("b", FILE, LIBRARY, 0o4755, "/lib/b", 7),
    Entry("a-b", DIR, ORIGIN),
    Entry("a", DIR, ORIGIN, 0o1777),
    Entry("a/ü", SYMLINK, ORIGIN, 0o777, target="../b"),
]


def _manifest() -> dict[str, Any]:
    return manifest_of(ENTRIES, lambda source: source.encode().hex().rjust(64, "0"))


def test_manifest() -> None:
    bom = {"bom": "bom.yaml:3:5"}
    chain = {"source": "/lib/b", "needed_by": ["ws/m", "liba.so found by RPATH"]}
    digest = b"/lib/b".hex().rjust(64, "0")
    assert _manifest() == {
        "schema": 1,
        "entries": [
            {"path": "/", "type": "dir", "mode": "0700"},
            {"path": "/a", "type": "dir", "mode": "1777", "provenance": bom},
            {"path": "/a-b", "type": "dir", "mode": "0755", "provenance": bom},
            {
                "path": "/a/ü",
                "type": "symlink",
                "mode": "0777",
                "target": "../b",
                "provenance": bom,
            },
            {
                "path": "/b",
                "type": "file",
                "mode": "4755",
                "size": 7,
                "sha256": digest,
                "provenance": {**bom, **chain},
            },
        ],
    }


def test_empty_image() -> None:
    due = {"schema": 1, "entries": [{"path": "/", "type": "dir", "mode": "0755"}]}
    assert manifest_of([], str) == due


def test_order_of_entries_does_not_matter() -> None:
    assert manifest_of(reversed(ENTRIES), str) == manifest_of(ENTRIES, str)


def test_canonical_json() -> None:
    assert canonical_json({"b": [1, "ü"], "a": {}}) == '{"a":{},"b":[1,"ü"]}'.encode()


def test_text_is_canonical() -> None:
    odd = Entry('q"\\\n\x7f/\u2028', SYMLINK, ORIGIN, 0o777, target='"\\\t')
    text = manifest_text([*ENTRIES, odd], str)
    assert text.full == canonical_json(json.loads(text.full))
    assert text.identity == canonical_json(json.loads(text.identity))
    assert json.loads(text.full)["entries"][-1]["path"] == "/" + odd.path
    bare = json.loads(text.full)
    for entry in bare["entries"]:
        entry.pop("provenance", None)
    assert text.identity == canonical_json(bare)
    assert text.digest == image_digest(json.loads(text.full))
    assert [json.loads(row) for row in text.rows.values()] == bare["entries"]
    assert list(text.rows) == sorted(entry.path for entry in [*ENTRIES, odd])


def test_package_of_a_source() -> None:
    packages = {"/lib/b": ("libb1", "1:2.0~rc1-1")}
    text = manifest_text(ENTRIES, str, packages)
    (told,) = [one for one in json.loads(text.full)["entries"] if "package" in str(one)]
    assert told["path"] == "/b"
    assert (told["provenance"]["package"], told["provenance"]["version"]) == packages["/lib/b"]
    assert text.full == canonical_json(json.loads(text.full))
    assert text.identity == manifest_text(ENTRIES, str).identity
    check_manifest(json.loads(manifest_text(ENTRIES, lambda _: "0" * 64, packages).full))


def test_digest_does_not_depend_on_provenance() -> None:
    manifest, bare = _manifest(), _manifest()
    for entry in bare["entries"]:
        entry.pop("provenance", None)
    assert image_digest(manifest) == image_digest(bare)
    assert "provenance" in manifest["entries"][1]
    for key, value in (("mode", "0644"), ("path", "/c"), ("size", 8)):
        changed = _manifest()
        changed["entries"][-1][key] = value
        assert image_digest(changed) != image_digest(manifest)


def test_digest_is_that_of_the_canonical_text() -> None:
    manifest = manifest_of(ENTRIES[1:3], lambda _: "0" * 64)
    text = (
        '{"entries":[{"mode":"0755","path":"/","type":"dir"},'
        '{"mode":"0755","path":"/a-b","type":"dir"},'
        '{"mode":"4755","path":"/b","sha256":"' + "0" * 64 + '","size":7,"type":"file"}],'
        '"schema":1}'
    )
    assert image_digest(manifest) == hashlib.sha256(text.encode()).hexdigest()


def test_provenance_that_is_not_utf8() -> None:
    bad = os.fsdecode(b"\xff")
    origin = Origin(Place(f"{bad}.yaml", 1, 1), (bad,))
    manifest = manifest_of([Entry("a", FILE, origin, source=f"/{bad}/a")], lambda _: "0" * 64)
    json.dumps(manifest, ensure_ascii=False).encode()
    assert manifest["entries"][1]["provenance"] == {
        "bom": "\\xff.yaml:1:1",
        "source": "/\\xff/a",
        "needed_by": ["\\xff"],
    }


def test_manifest_is_valid() -> None:
    check_manifest(_manifest())
    check_manifest(manifest_of([], str))


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (1, {"path": "a"}),
        (1, {"path": "/a/"}),
        (1, {"path": "/a//b"}),
        (1, {"mode": "755"}),
        (1, {"type": "fifo"}),
        (1, {"size": 1}),
        (1, {"provenance": {}}),
        (3, {"target": ""}),
        (4, {"size": -1}),
        (4, {"sha256": "A" * 64}),
        (4, {"target": "a"}),
        (4, {"provenance": {"bom": "f", "needed_by": "a"}}),
    ],
)
def test_schema_refuses(number: int, change: dict[str, Any]) -> None:
    manifest = _manifest()
    manifest["entries"][number].update(change)
    with pytest.raises(ValueError, match=r"^\$\.entries"):
        check_manifest(manifest)


def test_schema_refuses_other_versions() -> None:
    with pytest.raises(ValueError, match=r"^\$\.schema: "):
        check_manifest({**_manifest(), "schema": 2})


def test_files_that_are_exchanged_make_the_manifest_of_all_entries() -> None:
    def sha256(source: str) -> str:
        return source.encode().hex().rjust(64, "0")

    def another(source: str) -> str:
        return sha256(source).replace("0", "f") if source == "/lib/b" else sha256(source)

    name = 'like "b","size":7'
    entries = [*ENTRIES, Entry("a/b", FILE, LIBRARY, 0o4755, "/b", 7), Entry(name, FILE, ORIGIN)]
    old = entries[1]
    new = old._replace(size=8)
    packages = {"/lib/b": ("b", "1")}
    before = manifest_text(entries, sha256, packages)
    after = manifest_text([entries[0], new, *entries[2:]], another, packages)
    assert exchanged_text(before, [(old, new)], sha256, another, packages) == after
