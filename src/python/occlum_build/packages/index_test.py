from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from occlum_build.elf.facts import Archive, Script
from occlum_build.elf.testing_made import made_elf
from occlum_build.errors import OcclumError
from occlum_build.packages.index import DebIndex, Entry, write_index
from occlum_build.packages.indexing import index_deb
from occlum_build.packages.testing_debs import Item, directory, link, write_deb
from occlum_build.sources.model import FILE

ELF = made_elf()


def test_json_and_back(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("lib/x.so", ELF)
    items = (
        Item("./bin/app", ELF, 0o4755),
        link("./l", "bin/app"),
        Item("./z.jar", (tmp_path / "a.zip").read_bytes()),
        Item("./s", b"#!/\xff \xc3\xbc"),
        Item("./t", b"#!/\xc3\xbc\n"),
        Item("./m", b"\x7fELF and junk"),
        directory("./d", 0),
    )
    scripts = {
        "postinst": "#!/bin/sh\ncp a b\nupdate-alternatives --install /x x /s 5 --slave /y y /t\n"
    }
    index = index_deb(write_deb(tmp_path, "app", items=items, scripts=scripts))
    assert any(isinstance(one, Archive) and one.members for one in index.facts.values())
    again = DebIndex.from_json(json.loads(write_index(index)), "index.json")
    assert again == index
    assert write_index(again) == write_index(index)


def _changed(**values: Any) -> dict[str, Any]:
    entry = Entry(FILE, 0o644, 1, "0" * 64)
    index = DebIndex("app", "1", "all", {}, {"/a": entry}, {"0" * 64: Script("x")})
    return {**index.to_json(), **values}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"schema": 2}, "the index has schema 2, not 1"),
        ({"files": []}, "files is a list, not an object"),
        ({"files": {"/a": {"mode": "0644", "size": -1, "sha256": "0" * 64}}}, "is damaged: /a"),
        ({"files": {"/a": {"mode": "0644", "size": 1, "sha256": "x"}}}, "is damaged: /a"),
        ({"files": {"/a": {"mode": 420, "size": 1, "sha256": "x"}}}, "mode is a whole number"),
        ({"dirs": {"/d": "0999"}}, "is damaged: the mode 0999"),
        ({"links": {"x": "y"}}, "a path is not absolute"),
        ({"links": {"/x/../y": "y"}}, "a path is not absolute"),
        ({"facts": {"0" * 64: {"type": "x"}}}, "the index is damaged"),
        ({"facts": {"0" * 64: {"script": {"hex": "x"}}}}, "the index is damaged"),
        ({"alternatives": [{}]}, "alternatives[0] has no 'group'"),
    ],
)
def test_indexes_that_are_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(OcclumError, match="index") as error:
        DebIndex.from_json(_changed(**values), "index.json")
    assert error.value.code == "deb-index" and told in str(error.value).replace("\n", " ")
