"""Whatever stands in the hash memo and in the index of dist, nothing damaged is taken for right.

Lines of every wrong shape, with right checksums where there are any, and every single byte of right
ones changed; each case is a file that is read as a run reads it. The last test records how many.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import xxhash

from occlum_build.sources.model import FILE
from pants_occlum.dist import index as dist_index
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.index import DistIndex
from pants_occlum.dist.tree import TreeWriter
from pants_occlum.sysroot import hash_memo
from pants_occlum.sysroot.hash_memo import HashMemo

_tried: Counter[str] = Counter()
CONTENT = {"a": b"a content", "d/b": b"another", "d/c": b""}
DEEP = ["[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 100_000]
# What may stand in the place of any value.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**70, 1.5, "", "0", "\x00", "\ud800", "0" * 64, "g" * 64),
    *([], [[]], {}, {"a": 1}, [1, 2, 3], ["0" * 64], [None] * 7),
]


def mutants(line: bytes) -> Iterator[bytes]:
    """The line with each byte flipped, left out or doubled, and cut at each byte."""
    for at in range(len(line)):
        yield line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
        yield line[:at] + line[at + 1 :]
        yield line[:at] + line[at : at + 1] + line[at:]
        yield line[:at]


def shapes(path: str, row: list[Any]) -> Iterator[Any]:
    """Documents like [path, row] with other values, fewer and more of them."""
    for value in VALUES:
        yield value
        yield [value, row]
        yield [path, value]
        yield [path, row, value]
        for at in range(len(row)):
            yield [path, [*row[:at], value, *row[at + 1 :]]]
            yield [path, [*row[:at], value, *row[at:]]]
    for count in range(len(row)):
        yield [path, row[:count]]


# The hash memo


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the host that the memo may remember."""
    monkeypatch.setattr(hash_memo, "SETTLED_NS", -1)
    file = tmp_path / "file"
    file.write_bytes(CONTENT["a"])
    return file


def true_row(file: Path) -> list[Any]:
    found = file.stat()
    identity = hash_memo._identity(found)
    return [*identity, hashlib.sha256(file.read_bytes()).hexdigest(), False]


def check_memo(store: Path, host: Path, content: bytes) -> None:
    """What a run makes of a memo: the truth, or no answer, and in the end a memo that is right."""
    _tried["hash memo"] += 1
    store.write_bytes(content)
    memo = HashMemo(str(store))
    known = memo.known(bytes(host), host.lstat())
    truth = hashlib.sha256(host.read_bytes()).hexdigest()
    # A row that tells another content than the file has is found out by who copies, and forgotten.
    if known is not None and known.sha256 != truth:
        assert len(known.sha256) == 64
        memo.forget(bytes(host))
    assert memo.read(bytes(host)).sha256 == truth
    memo.save()
    again = HashMemo(str(store)).known(bytes(host), host.lstat())
    assert again is not None and again.sha256 == truth


def signed(body: bytes) -> bytes:
    return xxhash.xxh3_64_hexdigest(body).encode() + b" " + body + b"\n"


def test_lines_of_the_memo_with_another_shape_and_a_right_checksum(
    tmp_path: Path, host: Path
) -> None:
    for document in shapes(str(host), true_row(host)):
        check_memo(tmp_path / "memo", host, signed(json.dumps(document).encode()))


def test_lines_of_the_memo_that_are_no_json(tmp_path: Path, host: Path) -> None:
    texts = [*DEEP, "", "{", "nope", "[1,", '"', "\xff", "NaN", "9" * 5000, "[]" * 10]
    deep_rows = [f'["{host}",{deep}]' for deep in DEEP]
    for text in [*texts, *deep_rows]:
        check_memo(tmp_path / "memo", host, signed(text.encode("latin-1")))


def test_mutants_of_a_line_of_the_memo(tmp_path: Path, host: Path) -> None:
    body = json.dumps([str(host), true_row(host)], separators=(",", ":")).encode()
    for mutant in mutants(signed(body)):
        check_memo(tmp_path / "memo", host, mutant)
    for mutant in itertools.islice(mutants(body), 0, None, 2):
        check_memo(tmp_path / "memo", host, signed(mutant))


def test_memo_that_tells_the_content_of_another_file(tmp_path: Path, host: Path) -> None:
    row = true_row(host)
    for sha256 in ("0" * 64, hashlib.sha256(b"other").hexdigest()):
        body = json.dumps([str(host), [*row[:5], sha256, False]]).encode()
        check_memo(tmp_path / "memo", host, signed(body))


# The index of dist


def entries() -> list[TreeEntry]:
    return [
        TreeEntry(path, FILE, 0o644, hashlib.sha256(content).hexdigest(), len(content))
        for path, content in CONTENT.items()
    ]


def sync(root: Path, file: Path) -> None:
    """As a run in another process syncs the tree."""
    dist_index._loaded.clear()
    index: DistIndex = dist_index.load_index(str(file))
    writer = TreeWriter(str(root), entries(), index)
    for entry in writer.compare():
        assert writer.put(entry, CONTENT[entry.path])
    writer.finish()
    dist_index.save_index(str(file), index)


def check_index(root: Path, file: Path, content: bytes) -> None:
    """A file of the tree is damaged, and so is the index: the tree is right after the sync."""
    _tried["index of dist"] += 1
    damaged = root / "a"
    if damaged.exists():
        damaged.write_bytes(b"A content")
    file.write_bytes(content)
    sync(root, file)
    found = {
        os.path.relpath(path, root): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    assert found == CONTENT


@pytest.fixture
def index(tmp_path: Path) -> tuple[Path, Path, list[bytes]]:
    """A synced tree, its index, and the lines of that."""
    root, file = tmp_path / "dist/image", tmp_path / "index.rows"
    sync(root, file)
    return root, file, file.read_bytes().splitlines(keepends=True)


def index_lines(shapes_of: Iterable[Any]) -> Iterator[bytes]:
    for document in shapes_of:
        if isinstance(document, list) and len(document) == 2:
            name, row = document
            yield b'""\t' + json.dumps({"a": row}).encode() + b"\n"
            yield json.dumps(name).encode() + b'\t{"a":' + json.dumps(row).encode() + b"}\n"
        yield b'""\t' + json.dumps(document).encode() + b"\n"


def test_lines_of_the_index_with_another_shape(index: tuple[Path, Path, list[bytes]]) -> None:
    root, file, lines = index
    row = json.loads(lines[0].partition(b"\t")[2])["a"]
    for line in index_lines(shapes("", row)):
        check_index(root, file, line + lines[1])


def test_lines_of_the_index_that_are_no_json(index: tuple[Path, Path, list[bytes]]) -> None:
    root, file, lines = index
    for text in [*DEEP, "", "{", "nope", "\xff", "9" * 5000, '{"a":' + "[" * 100_000]:
        for line in (text, '""\t' + text, text + "\t{}", '""\t{"a":' + text + "}"):
            check_index(root, file, line.encode("latin-1") + b"\n" + lines[1])


def test_mutants_of_a_line_of_the_index(index: tuple[Path, Path, list[bytes]]) -> None:
    root, file, lines = index
    for mutant in mutants(lines[0]):
        check_index(root, file, mutant + lines[1])


def test_how_many_were_tried(record_property: Callable[[str, object], None]) -> None:
    for name, count in sorted(_tried.items()):
        record_property(f"wrong lines of the {name}", count)
    assert not _tried or min(_tried.values()) > 500
