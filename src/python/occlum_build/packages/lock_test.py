from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.errors import OcclumError
from occlum_build.image.testing_schema import check_json
from occlum_build.packages.config import ArchiveConfig, LocalDeb, PackagesRequest
from occlum_build.packages.lock import (
    LockedLink,
    LockedMade,
    LockedPackage,
    LockedSuite,
    PackagesLock,
    check_replaced,
    read_lock,
    write_lock,
)
from occlum_build.packages.lock_changes import changes_of, check_request, no_lock

ONE, TWO, KEY = "1" * 64, "2" * 64, "4CB50190207B4758A3F73A796ED0E7B82643E131"
LOCK = PackagesLock(
    {"packages": ONE},
    (LockedSuite("debian", "bookworm", "2026-07-11T10:16:37Z", TWO, (KEY,)),),
    (
        LockedPackage("app", "1", "all", "", "debs/app.deb", ONE, 9),
        LockedPackage(
            "libblas3", "3.11.0-2", "amd64", "debian", "pool/l/libblas3.deb", TWO, 148592
        ),
    ),
    (
        LockedLink(
            "/usr/lib/libblas.so.3", "/usr/lib/blas/libblas.so.3", "alternatives of libblas3"
        ),
    ),
    (LockedMade("/etc/ssl/certs/grün.crt", "0644", ONE, 222073, "ca-certificates"),),
)
HEADER = f'{{"kind":"packages","request":{{"packages":"{ONE}"}},"schema":1}}\n'
SUITE = (
    f'{{"archive":"debian","date":"2026-07-11T10:16:37Z","inrelease":"{TWO}",'
    f'"signed_by":["{KEY}"],"suite":"bookworm","type":"suite"}}\n'
)
APP = (
    '{"architecture":"all","package":"app","path":"debs/app.deb",'
    f'"sha256":"{ONE}","size":9,"type":"package","version":"1"}}\n'
)
BLAS = (
    '{"architecture":"amd64","archive":"debian","package":"libblas3","path":"pool/l/libblas3.deb",'
    f'"sha256":"{TWO}","size":148592,"type":"package","version":"3.11.0-2"}}\n'
)
LINK = (
    '{"by":"alternatives of libblas3","path":"/usr/lib/libblas.so.3",'
    '"target":"/usr/lib/blas/libblas.so.3","type":"link"}\n'
)
MADE = (
    '{"by":"ca-certificates","mode":"0644","path":"/etc/ssl/certs/grün.crt",'
    f'"sha256":"{ONE}","size":222073,"type":"made"}}\n'
)
TEXT = HEADER + SUITE + APP + BLAS + LINK + MADE


def test_text() -> None:
    assert write_lock(LOCK).decode() == TEXT
    assert read_lock(TEXT.encode(), "jammy.lock") == LOCK
    assert [one.path for one in LOCK.added_links()] == [one.path for one in LOCK.links]
    assert [one.mode for one in LOCK.made_files()] == [int(one.mode, 8) for one in LOCK.made]
    assert write_lock(PackagesLock({})).decode() == '{"kind":"packages","request":{},"schema":1}\n'


@pytest.mark.parametrize(
    ("lock", "told"),
    [
        (PackagesLock({}, links=(LockedLink("//x", "y", "links"),)), r'"path":"//x"'),
        (PackagesLock({}, links=(LockedLink("/x", "y\0", "links"),)), r'"path":"/x"'),
        (replace(LOCK, packages=(LOCK.packages[0]._replace(path="../x"),)), r'"path":"../x"'),
        (replace(LOCK, suites=(LOCK.suites[0]._replace(archive=""),)), r'"suite":'),
        (replace(LOCK, links=(*LOCK.links, *LOCK.links)), "does not come after"),
        (PackagesLock({"x": "y"}), "header"),
    ],
)
def test_what_no_reader_takes_is_not_written(lock: PackagesLock, told: str) -> None:
    with pytest.raises(OcclumError, match="cannot be locked") as raised:
        write_lock(lock)
    assert raised.value.code == "packages-lock"
    assert told in str(raised.value)


def test_what_begins_as_a_lock_file() -> None:
    for data in (b"", TEXT.encode(), TEXT.encode()[:40], b"<<<<<<< ours\n" + TEXT.encode()):
        check_replaced(data, "x.lock")
    for data in (b"\n", b"packages: [a]\n", b'{"kind":"host","schema":1}\n', b"\xff"):
        with pytest.raises(OcclumError, match=r"x\.lock: .* no lock file of packages"):
            check_replaced(data, "x.lock")


def test_order_does_not_depend_on_what_is_written() -> None:
    assert write_lock(replace(LOCK, packages=LOCK.packages[::-1])).decode() == TEXT


def test_lines_are_as_the_schema_says() -> None:
    for line in TEXT.splitlines():
        check_json(json.loads(line), "occlum_build.packages", "lock.schema.json")
    for bad in ({"type": "suite"}, {"type": "link", "path": "a", "target": "b", "by": "c"}):
        with pytest.raises(ValueError, match="oneOf"):
            check_json(bad, "occlum_build.packages", "lock.schema.json")


def test_dates() -> None:
    other = LOCK.suites[0]._replace(suite="updates", date="2026-08-01T00:00:00Z")
    lock = replace(LOCK, suites=(*LOCK.suites, other))
    assert lock.date_of("debian", "bookworm") == "2026-07-11T10:16:37Z"
    assert lock.newest_date("debian") == "2026-08-01T00:00:00Z"
    assert lock.date_of("debian", "sid") == lock.newest_date("ubuntu") == ""


def problem(text: str | bytes) -> tuple[str, str]:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    with pytest.raises(OcclumError) as raised:
        read_lock(data, "f")
    (found,) = raised.value.problems
    assert found.code == "packages-lock" and found.hint
    return str(found.place), found.message


NOT_OURS = "the line is not what is written there"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("", "f:1", "the line is not JSON"),
        ("{}\n", "f:1", "this is no lock file of packages"),
        ("[]\n", "f:1", "this is no lock file of packages"),
        ('{"schema":2}\n', "f:1", "this is no lock file of packages"),  # of a sysroot
        (HEADER.replace(":1}", ":2}"), "f:1", "the lock file has schema 2, not 1"),
        (HEADER.replace(":1}", ":true}"), "f:1", "the lock file has schema True, not 1"),
        (HEADER.replace(":1}", ":1,\"x\":1}"), "f:1", "the header is not what is written there"),
        (HEADER.replace(",", ", "), "f:1", "the header is not what is written there"),
        (HEADER.replace(ONE, "1"), "f:1", "the header is not what is written there"),
        (HEADER + "<<<<<<< HEAD\n" + SUITE, "f:2", "the line is not JSON"),
        (HEADER + SUITE + "\n", "f:3", "the line is not JSON"),
        (HEADER + SUITE[:-1], "f:2", "the last line is not complete"),
        (HEADER + "[" * 100_000 + "\n", "f:2", "the line is nested more than 64 levels deep"),
        (HEADER + "[]\n", "f:2", "the line is not a JSON object"),
        (HEADER + "\udcff\n", "f:2", "the line is not UTF-8"),
        (HEADER + APP + SUITE, "f:3", "suite bookworm of debian does not come after package app"),
        (HEADER + BLAS + APP, "f:3", "package app does not come after package libblas3"),
        (HEADER + APP + APP.replace('version":"1', 'version":"2'), "f:3",
         "package app does not come after package app"),
        (HEADER + LINK + LINK, "f:3",
         "/usr/lib/libblas.so.3 does not come after /usr/lib/libblas.so.3"),
    ],
)  # fmt: skip
def test_bad_files(text: str, place: str, message: str) -> None:
    assert problem(text) == (place, message)


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [
        (SUITE, "2026-07-11T", "2026-07-11 "),
        (SUITE, KEY, KEY.lower()),
        (SUITE, f'["{KEY}"]', "[]"),
        (SUITE, f'["{KEY}"]', f'"{KEY}"'),
        (SUITE, TWO, TWO[1:]),
        (SUITE, '"bookworm"', '"book worm"'),
        (SUITE, '"suite":"bookworm",', ""),
        (APP, '"version":"1"', '"version":1'),
        (APP, '"version":"1"', '"version":""'),
        (APP, '"size":9', '"size":-9'),
        (APP, '"size":9', '"size":9.0'),
        (APP, '"size":9', '"size":true'),
        (APP, '"size":9', '"size":9999999999999999'),
        (APP, '"type":"package"', '"type":"other"'),
        (APP, '"type":"package"', '"type":["package"]'),
        (APP, '"type":"package",', ""),
        (APP, '"path":"debs/app.deb"', '"path":"/debs/app.deb"'),
        (APP, '"path":"debs/app.deb"', '"path":"../app.deb"'),
        (APP, '"path":"debs/app.deb"', '"path":"debs//app.deb"'),
        (APP, '"path":"debs/app.deb"', '"path":"debs/"'),
        (APP, '{"architecture"', '{"archive":"","architecture"'),
        (APP, '{"architecture"', '{ "architecture"'),
        (APP, '"package":"app","path":"debs/app.deb"', '"path":"debs/app.deb","package":"app"'),
        (BLAS, ONE[:1], "1"),
        (LINK, '"/usr/lib/libblas.so.3"', '"usr/lib/libblas.so.3"'),
        (LINK, '"/usr/lib/libblas.so.3"', '"/usr/../libblas.so.3"'),
        (LINK, '"target":"/usr/lib/blas/libblas.so.3"', '"target":""'),
        (LINK, '"type"', '"new":1,"type"'),
        (MADE, '"0644"', '"644"'),
        (MADE, '"0644"', '"0o644"'),
        (MADE, '"0644"', "420"),
        (MADE, "grün", "gr\\u00fcn"),
    ],
)
def test_bad_lines(line: str, old: str, new: str) -> None:
    assert old in line or line == BLAS
    changed = line.replace(old, new)
    if changed != line:
        assert problem(HEADER + changed) == ("f:2", NOT_OURS)


@given(st.binary(max_size=200), st.integers(0, len(TEXT.encode())), st.integers(0, 40))
def test_whatever_is_damaged_is_one_error_or_another_lock(more: bytes, at: int, cut: int) -> None:
    data = TEXT.encode()
    data = data[:at] + more + data[at + cut :]
    try:
        lock = read_lock(data, "f")
    except OcclumError as error:
        assert error.code == "packages-lock"
    else:
        assert write_lock(lock) == data


ARCHIVE = ArchiveConfig("debian", ("http://m",), ("bookworm",), ("main",), b"key")
REQUEST = PackagesRequest("path/to:jammy", (ARCHIVE,), ("a", "b"))


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"packages": ("a",)}, "'packages' of path/to:jammy has"),
        ({"packages": ("a",), "without": ("c",)}, "'packages' and 'without' of path/to:jammy have"),
        ({"essential": True}, "'essential' of path/to:jammy has"),
        ({"links": (("/a", "b"),)}, "'links' of path/to:jammy has"),
        ({"made": ()}, "'made' of path/to:jammy has"),
        ({"debs": (LocalDeb("a.deb", ONE, 1, ()),)}, "'debs' of path/to:jammy has"),
        ({"archives": (replace(ARCHIVE, keyring=b"other"),)}, "'archives' of path/to:jammy has"),
        ({"archives": (replace(ARCHIVE, only=("a*",)),)}, "'archives' of path/to:jammy has"),
        ({"archives": (ARCHIVE, replace(ARCHIVE, name="x"))}, "'archives' of path/to:jammy has"),
        ({"architecture": "arm64"}, "'architecture' of path/to:jammy has"),
    ],
)
def test_a_lock_of_another_request_is_stale(change: dict[str, Any], fields: str) -> None:
    lock = PackagesLock(REQUEST.digests())
    check_request(lock, REQUEST, "jammy.lock", command="the command")
    with pytest.raises(OcclumError) as raised:
        check_request(lock, replace(REQUEST, **change), "jammy.lock", command="the command")
    assert str(raised.value.problems[0]) == (
        f"jammy.lock: the lock file is stale: {fields} changed since\n"
        "  hint: write it anew: the command"
    )


def test_what_a_lock_does_not_depend_on() -> None:
    archive = replace(ARCHIVE, mirrors=("http://other",), keyring_name="y", allow_expired=True)
    other = replace(REQUEST, name="other", archives=(archive,), packages=("b", "a", "b"))
    assert other.digests() == REQUEST.digests()
    assert REQUEST.digests().keys() == {"archives", "packages"}


def test_no_lock() -> None:
    error = no_lock("jammy.lock", command="the command")
    assert str(error) == "there is no lock file jammy.lock\n  hint: write it: the command"


def test_what_two_locks_differ_in() -> None:
    app, blas = LOCK.packages
    new = replace(
        LOCK,
        packages=(blas._replace(version="3.9"), app._replace(package="new", version="2")),
        links=(LOCK.links[0]._replace(target="other"),),
        made=(),
    )
    assert changes_of(LOCK, new).lines() == [
        "+ new 2",
        "- app 1",
        f"- /etc/ssl/certs/grün.crt sha256:{LOCK.made[0].sha256[:12]}",
        "downgraded libblas3 3.11.0-2 -> 3.9",
        "changed /usr/lib/libblas.so.3",
    ]
    assert changes_of(new, LOCK).upgraded == {"libblas3": ("3.9", "3.11.0-2")}
    same = replace(LOCK, packages=(app._replace(sha256=TWO), blas))
    assert changes_of(LOCK, same).lines() == ["changed app"]
    assert changes_of(LOCK, LOCK).lines() == []
    link = LOCK.links[0]
    assert f"+ {link.path} -> {link.target}" in changes_of(replace(LOCK, links=()), LOCK).lines()
