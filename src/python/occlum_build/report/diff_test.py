from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.image.testing import library, program
from occlum_build.image.testing_schema import check_json
from occlum_build.report.diff import Difference, compare
from occlum_build.report.diff_output import lines, to_json
from occlum_build.report.rows import path_of_right, rows_of
from occlum_build.report.sides import Side, read_side
from occlum_build.report.testing import BOM, FILES, PACKAGES, Made

MADE = Made()


def side(made: Made, name: str = "x") -> Side:
    return Side(name, made.manifest.full)


def difference(new: Made, old: Made = MADE) -> Difference:
    found = compare(side(old, "old"), side(new, "new"))
    check_json(json.loads(json.dumps(to_json(found))), "occlum_build.report", "diff.schema.json")
    return found


def told(new: Made, old: Made = MADE) -> list[str]:
    """The lines of the entries and their causes, not those of the whole."""
    return list(lines(difference(new, old)))[:-2]


def test_the_same_image_whatever_its_provenance() -> None:
    same = difference(Made(bom=f"# a comment\n{BOM}"))
    assert same.is_empty
    assert list(lines(same)) == ["the image does not move MRENCLAVE"]
    assert difference(MADE).is_empty


def test_package_with_another_version() -> None:
    files = {**FILES, "/d/libx.so": library("liby.so", "libgone.so", "libnew.so"),
             "/d/libnew.so": library()}  # fmt: skip
    packages = {**PACKAGES, "/d/libx.so": ("libx1", "1.1-1"), "/d/libnew.so": ("libx1", "1.1-1")}
    assert told(Made(files=files, packages=packages)) == [
        "package libx1 1.0-1 -> 1.1-1: 1 added, 1 changed, +64 bytes",
        "  added /lib64/libnew.so: 64 bytes",
        "  changed /lib64/libx.so: 64 bytes, other content",
    ]


def test_package_that_names_its_only_file_otherwise_now() -> None:
    one = {**FILES, "ws/data/libx.so.1.0": b"1"}
    two = {**FILES, "ws/data/libx.so.1.1": b"1"}
    made = [
        Made(files=files, packages={path: ("x", version)})
        for files, path, version in (
            (one, "ws/data/libx.so.1.0", "1"), (two, "ws/data/libx.so.1.1", "2"),
        )
    ]  # fmt: skip
    assert told(made[1], made[0])[0] == "package x 1 -> 2: 1 added, 1 removed, +0 bytes"


def test_bom_line_that_names_something_else_now() -> None:
    def side_of(path: str) -> Side:
        entry = FILE.replace('"/a"', f'"{path}","provenance":{{"bom":"b:1:1"}}')
        return Side(path, f'{{"entries":[{ROOT},{entry}],"schema":1}}'.encode())

    found = list(lines(compare(side_of("/a"), side_of("/b"))))
    assert found[:4] == [
        "BOM line b:1:1 brings others: 1 added, 1 removed, +0 bytes",
        *("  removed /a: 0 bytes", "  added /b: 0 bytes"),
        "image: 1 added, 1 removed, +0 bytes",
    ]


def test_bom_line_that_is_new() -> None:
    bom = BOM.replace("[a, b]", "[a, b, c]")
    files = {**FILES, "ws/c": program("libc1.so"), "/d/libc1.so": library()}
    made = Made(bom=bom, files=files)
    assert told(made) == [
        "BOM line bom.yaml:4:23 is new: 2 added, +128 bytes",
        "  added /bin/c: 64 bytes",
        "  added /lib64/libc1.so: 64 bytes",
    ]
    assert told(MADE, made)[0] == "BOM line bom.yaml:4:23 is gone: 2 removed, -128 bytes"


def test_file_of_the_project_that_changed_and_one_that_came() -> None:
    made = Made(files={**FILES, "ws/data/one": b"2" * 101, "ws/data/new": b"1"})
    assert told(made) == [
        "BOM line bom.yaml:7:16 brings more: 1 added, +1 bytes",
        "  added /data/new: 1 bytes",
        "another content of what BOM line bom.yaml:7:16 brings: 1 changed, +1 bytes",
        "  changed /data/one: 100 -> 101 bytes",
    ]


def test_program_that_needs_more_now() -> None:
    files = {**FILES, "ws/a": program("libx.so", "libz.so"), "/d/libz.so": library()}
    assert told(Made(files=files)) == [
        "another content of what BOM line bom.yaml:4:17 brings: 1 changed, +0 bytes",
        "  changed /bin/a: 64 bytes, other content",
        "/bin/a is another one, which needs it: 1 added, +64 bytes",
        "  added /lib64/libz.so: 64 bytes",
    ]


def test_another_source_kind_target_and_package() -> None:
    bom = BOM.replace("[a, b]", "[{name: b, rename: a}, b]").replace("../bin/a", "../bin/b")
    lines_of_link = [line for line in told(Made(bom=bom)) if "data/link" in line]
    assert lines_of_link == ["  changed /data/link: ../bin/a -> ../bin/b"]
    assert any("takes ws/b instead of ws/a: 1 changed" in line for line in told(Made(bom=bom)))
    files = {**FILES, "ws/data/one": "-> two"}
    assert told(Made(files=files))[1] == "  changed /data/one: 100 bytes -> link to two"
    packages = {**PACKAGES, "/d/liby.so": ("liby2", "1")}
    files = {**FILES, "/d/liby.so": library("libx.so")}
    assert told(Made(files=files, packages=packages))[0].startswith(
        "package liby 2:3.0 -> liby2 1: 1 changed"
    )


def test_mode() -> None:
    value = json.loads(MADE.manifest.full)
    value["entries"][-1]["mode"] = "0700"
    found = compare(side(MADE), Side("y", json.dumps(value).encode()))
    assert [line for line in lines(found) if "mode" in line][1].endswith("mode 0755 -> 0700")


def test_many_entries_of_one_cause() -> None:
    made = Made(files={**FILES, **{f"ws/data/{n}": b"" for n in range(30)}})
    assert told(made)[-1] == "  and 10 more, told with --all"
    assert len(list(lines(difference(made), every=True))) == 30 + 1 + 2


def test_rows_of_a_manifest() -> None:
    rows = rows_of(MADE.manifest.full)
    assert rows is not None
    assert [json.loads(row) for row in rows] == json.loads(MADE.manifest.full)["entries"]
    assert rows_of(b'{"entries":[{"mode":"0755","path":"/","type":"dir"}],"schema":1}') == [
        b'{"mode":"0755","path":"/","type":"dir"}'
    ]
    assert rows_of(b"{}") is None
    odd = MADE.manifest.full.replace(b'"source":"ws/a"', b'"source":"ws/},{mode:a"')
    assert compare(Side("x", odd), side(MADE)).is_empty


def test_rows_that_need_not_be_parsed() -> None:
    rows = rows_of(MADE.manifest.full) or []
    paths = [entry["path"] for entry in json.loads(MADE.manifest.full)["entries"]]
    assert [path_of_right(row) for row in rows] == paths


ROOT, FILE = '{"mode":"0755","path":"/","type":"dir"}', '{"mode":"0644","path":"/a","type":"file"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("root:x:0:0:root:/root:/bin/sh", "not JSON"),
        ("", "not JSON"),
        (f'{{"entries":[{FILE}],"schema":1}}', "no entry for the root"),
        (f'{{"entries":[{FILE}],"schema":1 }}', "no entry for the root"),
        (f'{{"entries":[{ROOT},{FILE},{FILE}],"schema":1}}', "it has '/a' twice"),
        (f'{{"entries":[{ROOT},{FILE}],"schema":2}}', "its schema is 2"),
        (f'{{"entries":[{ROOT},{FILE.replace("0644", "xxxx")}],"schema":1}}', "the mode 'xxxx'"),
        (f'{{"entries":[{ROOT},{FILE.replace("file", "fifo")}],"schema":1}}', "the type 'fifo'"),
        (f'{{"entries":[{ROOT},{FILE.replace("/a", "/a/../b")}],"schema":1}}', "is no path"),
        (f'{{"entries":[{ROOT},{FILE.replace("/a", "/a/.")}],"schema":1}}', "is no path"),
        (f'{{"entries":[{ROOT},{FILE.replace("/a", "//a")}],"schema":1}}', "is no path"),
        (f'{{"entries":[{ROOT},{FILE.replace("/a", "/a/")}],"schema":1}}', "is no path"),
        (f'{{"entries":[{ROOT},{FILE[:-1]}],"schema":1}}', "not JSON"),
    ],
)
def test_what_both_sides_have_is_checked_too(text: str, message: str) -> None:
    other = '{"mode":"0644","path":"/b","type":"file"}],"schema":1'
    for more in (text, text.replace('],"schema":1', f",{other}")):
        for sides in ((text, more), (more, text)):
            with pytest.raises(OcclumError, match=message):
                compare(*(Side("x", one.encode()) for one in sides))


def test_rows_that_are_parsed_as_they_are_not_plain() -> None:
    nested = f'{{"mode":"0644","path":"/a","size":1,"type":"file","x":[{{}},{FILE}]}}'
    text = f'{{"entries":[{ROOT},{nested}],"schema":1}}'
    odd = text.replace("/a", "/\\u0061\u00e4")
    for one in (text, odd):
        assert compare(Side("x", one.encode()), Side("y", one.encode())).is_empty
        more = one.replace('"size":1', '"size":2')
        (change,) = compare(Side("x", one.encode()), Side("y", more.encode())).changes
        assert change.bytes == 1


RECORD: dict[str, Any] = {
    "schema": 1, "mrenclave": "aa", "mrsigner": None, "debuggable": True,
    "inputs": {"image": {"type": "t", "digest": "sha256:1"}, "initfs": {"/bin/init": "file 0755 x"},
               "config": {"vm.user_space_size": "1"}, "toolchain": {"libos": "sha256:2"}},
}  # fmt: skip


def record(**inputs: Any) -> dict[str, Any]:
    return {**RECORD, "mrenclave": "bb", "inputs": {**RECORD["inputs"], **inputs}}


def test_digests_that_package_has_written(tmp_path: Path) -> None:
    made = (MADE, Made(files={**FILES, "ws/data/one": b"2"}))
    digests = [f"sha256:{one.manifest.digest}" for one in made]
    old, new = (
        read_side(str(one.write(tmp_path / digest[:9], {"image.digest": digest.encode()})))
        for one, digest in zip(made, digests)
    )
    found = compare(old, new)
    assert f"image digest: {digests[0]} -> {digests[1]}" in list(lines(found))
    assert to_json(found)["new"]["image"] == digests[1]
    (tmp_path / digests[0][:9] / "image.digest").write_text("none")
    assert read_side(old.name).digest == ""


def test_measurements(tmp_path: Path) -> None:
    new = record(config={"vm.user_space_size": "2", "k": True}, toolchain={}, initfs={})
    for name, value in (("old", RECORD), ("new", new)):
        MADE.write(tmp_path / name, {"measurement.json": json.dumps(value).encode()})
    found = compare(read_side(str(tmp_path / "old")), read_side(str(tmp_path / "new")))
    assert list(lines(found)) == [
        "toolchain libos: removed, was sha256:2",
        "config k: added, true",
        "config vm.user_space_size: 1 -> 2",
        "initfs /bin/init: removed, was file 0755 x",
        "MRENCLAVE moves by its config and initfs and toolchain: aa -> bb",
    ]
    check_json(json.loads(json.dumps(to_json(found))), "occlum_build.report", "diff.schema.json")
    only = compare(read_side(str(tmp_path / "old/measurement.json")), Side("n", record=record()))
    assert list(lines(only)) == ["MRENCLAVE moves, by no input that is recorded: aa -> bb"]
    assert not only.is_empty
    same = compare(Side("o", record=RECORD), Side("n", record=RECORD))
    assert list(lines(same)) == ["MRENCLAVE is the same: aa"]
    with pytest.raises(OcclumError, match="have nothing in common"):
        compare(Side("o", record=RECORD), side(MADE))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    MADE.write(tmp_path / "kept", {"measurement.json": json.dumps(RECORD).encode()})
    who = ["-c", "user.name=x", "-c", "user.email=x@x"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "x"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


@pytest.mark.skipif(shutil.which("git") is None, reason="this machine has no git")
def test_git_revision(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "kept/manifest.json").unlink()
    found = read_side("git:HEAD:kept")
    assert (found.manifest, found.record) == (MADE.manifest.full, RECORD)
    monkeypatch.chdir(repository / "kept")
    assert read_side("git:HEAD:manifest.json").manifest == MADE.manifest.full
    assert read_side("git:HEAD:measurement.json").record == RECORD
    for operand, message in (
        ("git:HEAD:none", "git has no HEAD:./none: fatal: "),
        ("git:HEAD:..", "has no manifest.json and no measurement.json"),
        ("git:-x:y", "does not name a revision"),
        ("git:HEAD", "does not name a revision"),
    ):
        with pytest.raises(OcclumError, match=message):
            read_side(operand)
    monkeypatch.setenv("PATH", "/none")
    with pytest.raises(OcclumError, match="git cannot be run"):
        read_side("git:HEAD:kept")


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(OcclumError, match="is no OCI layout"):
        read_side(str(tmp_path))
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(OcclumError, match="has no 'schema'"):
        compare(read_side(str(tmp_path / "x.json")), side(MADE))
