from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from pants_occlum.sysroot import glance
from pants_occlum.sysroot.glance import Glance, touched


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for path in ("a/x", "a/new\nline", "b/c/y"):
        file = tmp_path / "top" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return tmp_path / "top"


def found(*tops: Path) -> bytes:
    return Glance([os.fsencode(one) for one in tops]).found()


def test_nothing_differs(top: Path) -> None:
    before = found(top)
    assert before
    assert touched(before, found(top)) == ()


def test_directories_with_what_differs(top: Path) -> None:
    before = found(top)
    (top / "a/new\nline").chmod(0o600)
    file, folder = os.fsencode(top / "a/new\nline"), os.fsencode(top / "a")
    assert touched(before, found(top)) == {file, folder}


def test_what_is_gone_and_what_is_new(top: Path) -> None:
    before = found(top)
    shutil.rmtree(top / "b/c")
    (top / "a/z").symlink_to("x")
    differing = touched(before, found(top))
    assert differing is not None
    assert {os.fsencode(top / one) for one in ("a", "b", "b/c")} <= set(differing)


def test_several_directories(top: Path) -> None:
    tops = (top / "b", top / "a")
    before = found(*tops)
    (top / "b/c/y").write_text("another")
    assert os.fsencode(top / "b/c") in (touched(before, found(*tops)) or ())


def test_all_differs_where_nothing_is_known(top: Path) -> None:
    assert touched(b"", found(top)) is None
    assert touched(found(top), b"") is None


def test_what_is_no_directory_is_unknown(top: Path) -> None:
    (top.parent / "link").symlink_to(top)
    assert found(top.parent / "link") == b""
    assert found(top / "a/x") == b""
    assert found(top.parent / "absent") == b""
    assert Glance([]).found() == b""


def test_a_directory_that_is_closed_is_unknown(top: Path) -> None:
    (top / "b").chmod(0)
    is_open = os.geteuid() == 0  # root reads every directory
    assert bool(found(top)) == is_open


@pytest.mark.parametrize(
    "script",
    [
        "exit 1",
        "echo find: unrecognized: -printf >&2; exit 1",
        "exec /usr/bin/find $1",
        '/usr/bin/find "$@"; exit 1',  # as where a directory is closed
    ],
)
def test_another_find_tells_nothing(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    find = tmp_path / "bin/find"
    find.parent.mkdir()
    find.write_text(f"#!/bin/sh\n{script}\n")
    find.chmod(0o755)
    monkeypatch.setattr(glance, "_PLACES", str(find.parent))
    assert found(top) == b""


def test_no_find(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "_PLACES", str(tmp_path))
    assert found(top) == b""


def test_one_that_is_closed_has_ended(top: Path) -> None:
    open_files = os.listdir("/proc/self/fd")
    one = Glance([os.fsencode(top)])
    one.close()
    one.close()
    assert one.found() == b""
    assert os.listdir("/proc/self/fd") == open_files


def _row(number: int, state: int) -> bytes:
    if number % 3:
        return b"%d 644 %d 1.0 /t/%d/%d\0" % (number, state, number % 7, number)
    return b"f 1 %d 644 %d 1.0 1.0 /t/%d/%d\0" % (number, state, number % 7, number)


_ROOT = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda rw"


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        ([_ROOT], True),
        ([_ROOT.replace("ext4", "vfat")], False),
        ([_ROOT, "23 22 0:5 / /a rw - vfat x rw"], True),
        ([_ROOT, "23 22 0:5 / {top} rw - vfat x rw"], False),
        ([_ROOT, "23 22 0:5 / {top}/a rw master:2 - fuse.sshfs x rw"], False),
        ([_ROOT, "23 22 0:5 / {top}/a rw - tmpfs x rw"], True),
        ([_ROOT, "23 22 0:5 / {top} rw - vfat x rw", "24 23 0:6 / {top} rw - xfs x rw"], False),
        ([_ROOT, "23 22 0:5 / {top}s rw - vfat x rw"], True),
        ([_ROOT, "23 22 0:5 / {top}/with\\040blank rw - vfat x rw"], False),
        ([_ROOT.replace("- ", "")], False),
        (["23 22 0:5 / /elsewhere rw - ext4 x rw"], False),
        ([], False),
    ],
)
def test_times_of_files_only_where_they_tell_something(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: list[str], expected: bool
) -> None:
    before = found(top)
    table = tmp_path / "mountinfo"
    table.write_text("".join(f"{line.format(top=top)}\n" for line in mounts))
    monkeypatch.setattr(glance, "_MOUNTS", str(table))
    times = b"%d.%09d0" % divmod((top / "a/x").stat().st_mtime_ns, 10**9)
    (row,) = (row for row in found(top).split(b"\0") if row.endswith(b"/a/x"))
    assert (row.count(times) < 2) is expected
    os.utime(top / "a/x", ns=(0, 0))
    assert os.fsencode(top / "a") in (touched(before, found(top)) or ())


def test_without_proc(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "_MOUNTS", "/nowhere")
    assert found(top).startswith(b"d ")
    assert b"\0f " in found(top)


@pytest.mark.parametrize("seed", range(300))
def test_all_rows_that_differ_are_found(seed: int) -> None:
    random = Random(seed)
    before = {number: random.randrange(3) for number in range(random.randrange(1, 12))}
    now = dict(before)
    for _ in range(random.randrange(1, 4)):
        number = random.randrange(15)
        if random.random() < 0.5:
            now.pop(number, None)
        else:
            now[number] = random.randrange(30)
    # A directory may be told in another order.
    rows = list(now.items())
    if seed % 3 == 0:
        random.shuffle(rows)
    expected = set()
    for number in before.keys() | now.keys():
        if before.get(number) != now.get(number):
            expected |= {b"/t/%d" % (number % 7), b"/t/%d/%d" % (number % 7, number)}
    texts = [b"".join(_row(*row) for row in told) for told in (before.items(), rows)]
    found = touched(*texts)
    if texts[1]:
        assert found is not None
        assert set(found) == expected
    else:
        assert found is None
