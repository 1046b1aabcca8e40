from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.image.testing_schema import check_json
from occlum_build.trace import record as module
from occlum_build.trace.calls import LOOK, OPEN
from occlum_build.trace.processes import Ask
from occlum_build.trace.record import Record, add_to_file, read_record, read_records

A = Ask("/a", "/bin/app", OPEN, True)
B = Ask("/b\n", "/bin/app", LOOK, False)


def test_several_runs_add_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new/record.json"
    add_to_file(path, Record(1, False, {B}))
    merged = add_to_file(path, Record(1, True, {A, B}))
    assert merged == read_record(path) == Record(2, True, {A, B})
    value = json.loads(path.read_text())
    check_json(value, "occlum_build.trace", "record.schema.json")
    assert [one["path"] for one in value["asks"]] == ["/a", "/b\n"]
    assert [one.name for one in path.parent.iterdir()] == ["record.json"]
    assert read_records([path, path]).runs == 4


def test_names_that_no_image_has_are_not_kept() -> None:
    record = Record()
    record.add(Ask("/\udcff", "/bin/app", OPEN, True))
    record.add(Ask("/a", "/\udcff", OPEN, True))
    record.add(Ask("/a\0", "/bin/app", OPEN, True))
    assert not record.asks
    assert not record.is_incomplete


def test_more_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ASKS", 1)
    record = Record()
    record.add(A)
    record.add(A)
    assert not record.is_incomplete
    record.add(B)
    assert (record.asks, record.is_incomplete) == ({A}, True)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "not JSON"),
        ('{"schema": 2}', "its schema is 2, not 1"),
        ('{"schema": 1}', "runs"),
        ('{"schema": 1, "runs": 1, "incomplete": false, "asks": [{"path": "/"}]}', r"asks\[0\]"),
        ("a", "not JSON"),
    ],
)
def test_what_is_no_record(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(OcclumError, match=told) as error:
        add_to_file(path, Record(1, False, {A}))
    assert error.value.code == "trace"
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"path": "a"}, "'a' or who asked for it is no absolute path"),
        ({"path": "//a"}, "'//a' or who asked for it is no absolute path"),
        ({"by": ""}, "is no absolute path"),
        ({"path": "/\0"}, "has a character that no path has"),
        ({"kind": "close"}, "'close' is no kind of asking for a path"),
    ],
)
def test_asks_that_cannot_be(change: dict[str, str], told: str, tmp_path: Path) -> None:
    ask = {"path": "/", "by": "/", "kind": "open", "found": True, **change}
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"schema": 1, "runs": 1, "incomplete": False, "asks": [ask]}))
    with pytest.raises(OcclumError, match=told):
        read_record(path)


def test_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match="No such file"):
        read_records([tmp_path / "record.json"])
