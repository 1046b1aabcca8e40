from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.checks.root import Root
from occlum_build.image.testing_schema import check_json
from occlum_build.trace.calls import EXEC, LINK, LIST, LOOK, OPEN
from occlum_build.trace.output import unused_json, unused_lines
from occlum_build.trace.processes import Ask
from occlum_build.trace.record import Record
from occlum_build.trace.unused import Part, find_unused

APP = "/bin/app"


@pytest.fixture
def image(tmp_path: Path) -> Root:
    for path, size in {
        "bin/app": 1000,
        "lib/used.so.1": 10,
        "lib/x/a": 100,
        "lib/x/deep/b": 200,
        "lib/y/c": 300,
        "lib/y/d": 400,
        "etc/looked": 50,
        "etc/no": 60,
    }.items():
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x" * size)
    (tmp_path / "lib/used.so").symlink_to("used.so.1")
    (tmp_path / "bin/script").write_text("#!/bin/app\n")
    return Root.of_directory(str(tmp_path))


def ask(path: str, kind: str, *, found: bool = True) -> Ask:
    return Ask(path, APP, kind, found)


def test_what_was_not_opened(image: Root) -> None:
    record = Record(
        2,
        False,
        {
            ask("/bin/script", EXEC),  # which the kernel starts with /bin/app
            ask("/lib/used.so", OPEN),
            ask("/lib/y/c", OPEN),
            ask("/lib/y/d", OPEN, found=False),
            ask("/lib/x", LIST),
            ask("/etc/looked", LOOK),
            ask("/lib/used.so", LINK),
            ask("/elsewhere", OPEN),
        },
    )
    unused = find_unused(record, image)
    assert unused.parts == (
        Part("/etc/no", "file", 1, 60),
        Part("/lib/x", "dir", 2, 300),
        Part("/lib/y/d", "file", 1, 400),
    )
    assert unused.looked_at == {"/etc/looked": 50}
    assert list(unused_lines(record, unused, 2)) == [
        "not opened in 2 runs: 4 of 9 files, 760 of 2,131 bytes",
        "            400  /lib/y/d",
        "            300  /lib/x/ (2 files)",
        "                 and 1 more (--all)",
        "only looked at, and kept apart: 1 file, 50 bytes",
    ]
    check_json(unused_json("image", record, unused), "occlum_build.trace", "trace.schema.json")


def test_an_image_of_which_nothing_was_used(image: Root) -> None:
    unused = find_unused(Record(1), image)
    assert unused.parts == (Part("/", "dir", 9, 2131),)
    lines = list(unused_lines(Record(1, True), unused, None))
    assert lines == [
        "not opened in 1 run: 9 of 9 files, 2,131 of 2,131 bytes",
        "          2,131  / (9 files)",
        "the record is incomplete: what is told may have been opened",
    ]


def test_interpreters_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/app").write_text("#!/bin/script\n")
    (tmp_path / "bin/script").write_text("#!/bin/app\n")
    image = Root.of_directory(str(tmp_path))
    unused = find_unused(Record(1, False, {ask("/bin/app", EXEC)}), image)
    assert "/bin/script" not in [one.path for one in unused.parts]
