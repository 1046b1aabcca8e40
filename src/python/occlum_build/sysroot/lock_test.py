from __future__ import annotations

import json

import pytest

from occlum_build.errors import OcclumError
from occlum_build.image.testing_schema import check_json
from occlum_build.sources.model import DIR, FIFO, FILE, SYMLINK, SourceStat
from occlum_build.sysroot.lock import Lock, Pin, read_lock, write_lock

SHA256 = "0123456789abcdef" * 4
PINS = [
    Pin("/", DIR),
    Pin("/bin", SYMLINK, target="usr/bin", package="base-files", version="12.4+deb12u5"),
    Pin("/etc", DIR, 0o755, listing=True),
    Pin("/etc/grün", FILE, 0o4640, 0, SHA256),
    Pin("/etc/pipe", FIFO),
    Pin("/etc/unread", FILE, package="netbase", version="6.4"),
    Pin("/etc-", FILE, 0o755, 12, SHA256, elf=True, package="libc6:amd64", version="2.36-9"),
]
HEADER = '{"schema":2}\n'
OLD_HEADER = '{"schema":1}\n'
TEXT = (
    HEADER
    + '{"path":"/","type":"dir"}\n'
    + '{"package":"base-files","path":"/bin","target":"usr/bin","type":"symlink",'
    + '"version":"12.4+deb12u5"}\n'
    + '{"listing":true,"mode":"0755","path":"/etc","type":"dir"}\n'
    + '{"elf":true,"mode":"0755","package":"libc6:amd64","path":"/etc-",'
    + f'"sha256":"{SHA256}","size":12,"type":"file","version":"2.36-9"}}\n'
    + f'{{"mode":"4640","path":"/etc/grün","sha256":"{SHA256}","size":0,"type":"file"}}\n'
    + '{"path":"/etc/pipe","type":"fifo"}\n'
    + '{"package":"netbase","path":"/etc/unread","type":"file","version":"6.4"}\n'
)


def lock() -> Lock:
    return Lock({pin.path: pin for pin in PINS})


def test_text() -> None:
    assert write_lock(lock()).decode() == TEXT
    assert read_lock(TEXT.encode(), "host.lock") == lock()


def test_schema_1_does_not_tell_of_archives() -> None:
    old = read_lock(TEXT.replace(HEADER, OLD_HEADER).encode(), "host.lock")
    assert old.pins == {**lock().pins, "/etc/grün": PINS[3]._replace(elf=None)}
    assert old.names == lock().names
    assert old.pins["/etc-"].stat().is_elf_or_zip is True
    assert old.pins["/etc/grün"].stat() == SourceStat(FILE, 0o4640, 0, sha256=SHA256)
    assert old.pins["/etc/unread"].stat() == SourceStat(FILE)


def test_lines_are_as_the_schema_says() -> None:
    for line in TEXT.splitlines()[1:]:
        check_json(json.loads(line), "occlum_build.sysroot", "lock.schema.json")
    for bad in ({"path": "/x", "type": "file", "size": 1}, {"path": "/x", "type": "symlink"}):
        with pytest.raises(ValueError, match="oneOf"):
            check_json(bad, "occlum_build.sysroot", "lock.schema.json")


def test_names_of_pinned_listings() -> None:
    assert lock().names == {"/etc": ("grün", "pipe", "unread")}


def test_what_planners_are_told() -> None:
    pins = lock().pins
    assert pins["/etc-"].stat() == SourceStat(FILE, 0o755, 12, sha256=SHA256, is_elf_or_zip=True)
    assert pins["/etc/grün"].stat().is_elf_or_zip is False
    assert pins["/etc/unread"].stat() == SourceStat(FILE)
    assert pins["/bin"].stat() == SourceStat(SYMLINK, 0o777, target="usr/bin")


CONTENT = '{"mode":"0644","path":"/a","sha256":"%s","size":1,"type":"file"}\n'
ROOT = '{"path":"/","type":"dir"}\n'


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "f:1", "the line is not JSON"),
        ("{}\n", "f:1", "this is no lock file of a sysroot"),
        ('{"schema":3}\n', "f:1", "the lock file has schema 3, not 2 or 1"),
        ('{"schema":true}\n', "f:1", "the lock file has schema True, not 2 or 1"),
        ('{"schema":[1]}\n', "f:1", "the lock file has schema [1], not 2 or 1"),
        ('{"more":0,"schema":1}\n', "f:1", "this is no lock file of a sysroot"),
        (HEADER + "<<<<<<< HEAD\n", "f:2", "the line is not JSON"),
        ("[" * 100_000 + "\n", "f:1", "the line is nested more than 64 levels deep"),
        (HEADER + "[" * 100_000 + "\n", "f:2", "the line is nested more than 64 levels deep"),
        (HEADER + '{"a":' * 100_000 + "\n", "f:2", "the line is nested more than 64 levels deep"),
        (HEADER + '{"path":"\\ud800"}\n', "f:2", "the line is not JSON"),
        (HEADER + f'{{"size":{"9" * 5000}}}\n', "f:2", "the line is not JSON"),
        ('{"schema":"' + "x" * 999 + '"}\n', "f:1",
         "the lock file has schema 'xxxxxxxxxxxxxxxxxxx, not 2 or 1"),
        (HEADER + "[]\n", "f:2", "the line is not a JSON object"),
        (HEADER + ROOT + "\n", "f:3", "the line is not JSON"),
        (HEADER + ROOT[:-1], "f:2", "the last line is not complete"),
        (HEADER + ROOT + ROOT, "f:3", "/ does not come after /"),
        (HEADER + '{"path":"/a","type":"dir"}\n', "f:2", "/, where /a is, is not pinned"),
        (HEADER + ROOT + '{"path":"/a","type":"fifo"}\n{"path":"/a/b","type":"dir"}\n',
         "f:4", "/a, where /a/b is, is not pinned"),
    ],
)  # fmt: skip
def test_bad_files(text: str, place: str, message: str) -> None:
    with pytest.raises(OcclumError) as caught:
        read_lock(text.encode(), "f")
    (problem,) = caught.value.problems
    assert (str(problem.place), problem.message) == (place, message)
    assert problem.hint


@pytest.mark.parametrize("header", [HEADER, OLD_HEADER])
@pytest.mark.parametrize(
    "line",
    [
        '{"elf":false,"path":"/","type":"dir"}\n',
        '{"path":"","type":"dir"}\n',
        '{"path":"//","type":"dir"}\n',
        '{"path":"a","type":"dir"}\n',
        '{"path":"/a/","type":"dir"}\n',
        '{"path":"/a/../b","type":"dir"}\n',
        '{"path":"/.","type":"dir"}\n',
        '{"path":"/a/..","type":"dir"}\n',
        '{"path":"/a//b","type":"dir"}\n',
        '{"path":["/a"],"type":"dir"}\n',
        '{"path":"/a"}\n',
        '{"path":"/a","type":"door"}\n',
        '{"path":"/a","type":"symlink"}\n',
        '{"path":"/a","target":"b","type":"dir"}\n',
        '{"listing":true,"path":"/a","type":"dir"}\n',
        '{"listing":1,"mode":"0755","path":"/a","type":"dir"}\n',
        '{"new":1,"path":"/a","type":"dir"}\n',
        CONTENT % "0",
        CONTENT % SHA256.upper(),
        (CONTENT % SHA256).replace('"size":1', '"size":-1'),
        (CONTENT % SHA256).replace('"size":1', '"size":true'),
        (CONTENT % SHA256).replace("0644", "644"),
        (CONTENT % SHA256).replace("0644", "0o644"),
        (CONTENT % SHA256).replace('"0644"', "420"),
        (CONTENT % SHA256).replace('"file"', '"fifo"'),
        '{"path":"/\\ud800","type":"dir"}\n',
        "\udcff{}\n",
    ],
)
def test_bad_lines(line: str, header: str) -> None:
    data = (header + line).encode("utf-8", "surrogateescape")
    with pytest.raises(OcclumError, match="f:2: the line is not"):
        read_lock(data, "f")
