from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash

from pants_occlum.sysroot import hash_memo
from pants_occlum.sysroot.hash_memo import HashMemo


def test_memo_spares_reading_only_settled_files(tmp_path: Path) -> None:
    settled, fresh = tmp_path / "settled", tmp_path / "fresh"
    settled.write_bytes(b"1")
    time.sleep(2.1)  # ctime cannot be set back
    fresh.write_bytes(b"2")
    store = tmp_path / "memo/sha256.rows"
    memo = HashMemo(str(store))
    first = [memo.read(bytes(path)) for path in (settled, fresh)]
    memo.save()
    again = HashMemo(str(store))
    assert again.known(bytes(settled), settled.lstat()) == first[0]
    assert again.known(bytes(fresh), fresh.lstat()) is None
    assert list(again._rows) == [str(settled)]
    again.forget(bytes(settled))
    assert again.known(bytes(settled), settled.lstat()) is None
    again.save()
    assert HashMemo(str(store))._rows == {}


def test_a_change_costs_what_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_memo, "SETTLED_NS", -1)
    file, store = tmp_path / os.fsdecode(b"f\xff"), tmp_path / "memo"
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(b"%d" % number)
    memo = HashMemo(str(store))
    for path in sorted(tmp_path.glob("[0-9]")):
        memo.read(bytes(path))
    memo.save()
    before = store.read_bytes()
    file.write_bytes(b"new")
    content = memo.read(bytes(file))
    memo.save()
    assert store.read_bytes().startswith(before)
    assert store.read_bytes().count(b"\n") == 4
    assert HashMemo(str(store)).known(bytes(file), file.lstat()) == content


@pytest.mark.parametrize("damage", [b"\xff", b"", b"0 [", b"0123456789abcdef {}"])
def test_a_damaged_line_counts_as_absent(tmp_path: Path, damage: bytes) -> None:
    row = hash_memo._Row(1, 2, 3, 4, 5, "00" * 32, True)
    store = tmp_path / "memo"
    lines = [hash_memo._line(path, row) for path in ("/a", "/b")]
    store.write_bytes(b"".join([lines[0], damage + lines[1][len(damage) + 1 :], lines[0]]))
    assert HashMemo(str(store))._rows == {"/a": row}


def test_memo_is_bounded_and_drops_what_was_used_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_memo, "MAX_ROWS", 2)
    monkeypatch.setattr(hash_memo, "SETTLED_NS", -1)
    memo = HashMemo(str(tmp_path / "memo"))
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
        memo.read(bytes(tmp_path / name))
    memo.known(bytes(tmp_path / "a"), (tmp_path / "a").lstat())
    memo.save()
    kept = HashMemo(str(tmp_path / "memo"))._rows
    assert list(kept) == [str(tmp_path / "c"), str(tmp_path / "a")]


def test_a_file_of_many_lines_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_memo, "SETTLED_NS", -1)
    monkeypatch.setattr(hash_memo, "_LINES_A_ROW", -500)
    file, store = tmp_path / "f", tmp_path / "memo"
    for number in range(3):
        file.write_bytes(b"%d" % number)
        memo = HashMemo(str(store))
        memo.read(bytes(file))
        memo.save()
    assert store.read_bytes().count(b"\n") == 3
    for name in ("g", "h"):
        (tmp_path / name).touch()
        memo.read(bytes(tmp_path / name))
    memo.save()
    assert store.read_bytes().count(b"\n") == 3
    assert len(HashMemo(str(store))._rows) == 3


def test_files_that_may_hold_elf_facts_are_told_apart(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "app.jar", "w") as archive:
        archive.writestr("a", b"content")
    zipped = (tmp_path / "app.jar").read_bytes()
    (tmp_path / "app.pex").write_bytes(b"#!/usr/bin/env python3\n" + zipped)
    (tmp_path / "lib.so").write_bytes(b"\x7fELF")
    (tmp_path / "script").write_bytes(b"#!/bin/sh\n" * 100)
    (tmp_path / "data").write_bytes(b"PK" * 100)
    (tmp_path / "tail").write_bytes(b"x" + zipped)
    memo = HashMemo(str(tmp_path / "memo"))
    names = ("app.jar", "app.pex", "lib.so", "script", "data", "tail")
    found = {name: memo.read(bytes(tmp_path / name)).is_elf_or_zip for name in names}
    assert [name for name in names if found[name]] == ["app.jar", "app.pex", "lib.so"]
    assert set(found.values()) == {True, False}


def signed(body: bytes) -> bytes:
    """A line with a right checksum."""
    return xxhash.xxh3_64_hexdigest(body).encode() + b" " + body + b"\n"


SHA256 = "0" * 64
FORGED = [
    *("0", "null", "[]", "{}", '"ab"', '["/b"]', '["/b",[]]', '["/b",[1,2,3,4,5,6]]', "[1,null]"),
    *('["/b","abcdefg"]', '["/b",{}]', '["/b",5]', "{not json", "", '[["/b"],null]', "[{},null]"),
    f'[["/b"],[1,2,3,4,5,"{SHA256}",true]]',
    f'["/b",[1,2,3,4,"5","{SHA256}",true]]',
    f'["/b",[1,2,3.0,4,5,"{SHA256}",true]]',
    f'["/b",[true,2,3,4,5,"{SHA256}",true]]',
    f'["/b",[1,2,3,4,5,"{SHA256}",1]]',
    f'["/b",[1,2,3,4,5,"{SHA256}",true,7]]',
    f'["/b",[1,2,3,4,5,"{SHA256.replace("0", "G")}",true]]',
    f'["/b",[1,2,3,4,5,"{SHA256}0",true]]',
    f'["/b",[1,2,3,4,5,["{SHA256}"],true]]',
    f'["/b",[[1],2,3,4,5,"{SHA256}",true]]',
    f'["/b",[{"9" * 5000},2,3,4,5,"{SHA256}",true],1]',
    '["/b",' + "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
    '{"a":' * 100_000,
]


@pytest.mark.parametrize("body", FORGED)
def test_a_line_of_another_shape_counts_as_absent(tmp_path: Path, body: str) -> None:
    row = hash_memo._Row(1, 2, 3, 4, 5, SHA256, True)
    store = tmp_path / "memo"
    store.write_bytes(hash_memo._line("/a", row) + signed(body.encode()))
    assert HashMemo(str(store))._rows == {"/a": row}


def make_large(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(6 << 30)


@pytest.mark.parametrize("make", [os.mkfifo, make_large, lambda file: file.symlink_to("none")])
def test_a_memo_that_is_no_file_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(hash_memo, "SETTLED_NS", -1)
    file, store = tmp_path / "file", tmp_path / "memo"
    file.write_bytes(b"1")
    make(store)
    memo = HashMemo(str(store))
    content = memo.read(bytes(file))
    memo.save()
    assert HashMemo(str(store)).known(bytes(file), file.lstat()) == content


def test_a_memo_that_became_something_else_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_memo, "SETTLED_NS", -1)
    (tmp_path / "file").write_bytes(b"1")
    for number, make in enumerate((os.mkfifo, os.mkdir)):
        store = tmp_path / f"memo{number}"
        memo = HashMemo(str(store))
        make(store)
        memo.read(bytes(tmp_path / "file"))
        memo.save()
