"""SHA-256 of host files, with a memo that spares reading what has not changed since."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from typing import NamedTuple

import xxhash

from occlum_build.elf.facts import may_hold_elf
from occlum_build.elf.layout import MAGIC
from occlum_build.elf.zip_reader import is_zip
from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MIB, UNSIZED_BYTES, shown_bytes
from occlum_build.files.reading import read_file
from occlum_build.sources.model import FILE, SourceStat

MAX_ROWS = 300_000
MEMO_BYTES = 256 * MIB
# A file written this recently may be written again within the same tick of its time stamps.
SETTLED_NS = 2_000_000_000
CHUNK_BYTES = 1 << 20
# Beyond this many lines for each row that counts, the file is written anew.
_LINES_A_ROW = 2


class _Row(NamedTuple):
    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str
    is_elf_or_zip: bool


_TYPES = [int, int, int, int, int, str, bool]
_SHA256 = re.compile("[0-9a-f]{64}")
_json = json.JSONEncoder(separators=(",", ":")).encode


class HashMemo:
    """path -> content hash, valid for one (device, inode, size, mtime, ctime); safe for threads.

    The file has a line for each row, the XXH3-64 of the rest of the line in hex before it; the last
    line of a path counts, one whose row is null drops the path. Rows are appended, so that a change
    costs what it changes. A line that is damaged counts as absent. What a row says is believed
    until a copy of the file turns out to be something else: who copies compares, and forgets.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._rows, self._lines = _load(file)
        self._changed: dict[str, None] = {}

    def known(self, path: bytes, found: os.stat_result) -> SourceStat | None:
        """The content of the file that lstat just found at `path`; None when it must be read."""
        key = _key(path)
        with self._lock:
            row = self._rows.get(key)
            if row is None or row[:5] != _identity(found):
                return None
            # Used last: dropped last.
            self._rows[key] = self._rows.pop(key)
        return _content(row, found)

    def read(self, path: bytes) -> SourceStat:
        """Read a regular file, links not followed, and remember it if it has settled.

        Raises OSError when it cannot be read or does not hold still.
        """
        started_ns = time.time_ns()
        read = _read_once(path) or _read_once(path)
        if read is None:
            raise OSError("was written to while it was read, twice")
        found, digest, is_elf_or_zip = read
        row = _Row(*_identity(found), digest, is_elf_or_zip)
        if started_ns - max(found.st_mtime_ns, found.st_ctime_ns) > SETTLED_NS:
            with self._lock:
                self._rows[_key(path)] = row
                self._changed[_key(path)] = None
        return _content(row, found)

    def forget(self, path: bytes) -> None:
        """Drop what is known of a path that turned out to hold something else."""
        with self._lock:
            if self._rows.pop(_key(path), None) is not None:
                self._changed[_key(path)] = None

    def save(self) -> None:
        """Write to the file what has changed; failing to is no error, only slower."""
        with self._lock:
            if not self._changed:
                return
            changed: Mapping[str, _Row | None] = {key: self._rows.get(key) for key in self._changed}
            self._changed = {}
            lines = self._lines + len(changed)
            whole = lines > _LINES_A_ROW * len(self._rows) + 1000 or len(self._rows) > MAX_ROWS
            if whole:
                changed = self._rows = dict(list(self._rows.items())[-MAX_ROWS:])
            try:
                _write(self._file, b"".join(_line(*item) for item in changed.items()), whole=whole)
            except OSError:
                return
            self._lines = len(changed) if whole else lines


_memos: dict[str, HashMemo] = {}
_memos_lock = threading.Lock()


def memo_of(named_caches_dir: str) -> HashMemo:
    """The memo in a directory of named caches, loaded once a process."""
    file = os.path.join(named_caches_dir, "occlum_hashes", "contents.rows")
    with _memos_lock:
        if file not in _memos:
            _memos[file] = HashMemo(file)
        return _memos[file]


def _key(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _identity(found: os.stat_result) -> tuple[int, int, int, int, int]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _content(row: _Row, found: os.stat_result) -> SourceStat:
    mode = stat.S_IMODE(found.st_mode)
    return SourceStat(FILE, mode, row.size, sha256=row.sha256, is_elf_or_zip=row.is_elf_or_zip)


def _read_once(path: bytes) -> tuple[os.stat_result, str, bool] | None:
    """The file as it stood during one whole read; None when it was written to meanwhile."""
    # Without O_NONBLOCK, a fifo that took the file's place would block for ever.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise OSError("is no longer a regular file")
        digest = hashlib.sha256()
        # Of a file that grows all the time, no more than it had: it is another one anyway.
        left = before.st_size or UNSIZED_BYTES
        # Not more than there is, as a buffer of the whole size is made for each read.
        most = min(left + 1, CHUNK_BYTES)
        head = chunk = file.read(most)
        while chunk and left > 0:
            digest.update(chunk)
            left -= len(chunk)
            chunk = file.read(most) if left > 0 or not before.st_size else b""
        if chunk and not before.st_size:
            raise OSError(f"says that it is empty, but has more than {shown_bytes(UNSIZED_BYTES)}")
        is_elf_or_zip = head.startswith(MAGIC) or (may_hold_elf(head) and is_zip(file))
        after = os.fstat(fd)
    if _identity(before) != _identity(after):
        return None
    return after, digest.hexdigest(), is_elf_or_zip


def _line(path: str, row: _Row | None) -> bytes:
    body = _json([path, row]).encode("ascii")
    return xxhash.xxh3_64_hexdigest(body).encode("ascii") + b" " + body + b"\n"


def _load(file: str) -> tuple[dict[str, _Row], int]:
    """The rows of the file, and how many lines it has, so many that it is written anew where it
    cannot be read.
    """
    if not os.path.lexists(file):
        return {}, 0
    try:
        lines = read_file(file, MEMO_BYTES).split(b"\n")
    except OcclumError:
        return {}, sys.maxsize
    rows: dict[str, _Row] = {}
    for line in lines:
        checksum, _, body = line.partition(b" ")
        if not body or checksum != xxhash.xxh3_64_hexdigest(body).encode("ascii"):
            continue
        try:
            path, row = _parse(body)
        except (ValueError, TypeError, RecursionError):
            continue
        rows.pop(path, None)
        if row is not None:
            rows[path] = row
    # What is appended to half a line would be lost with it.
    return rows, sys.maxsize if lines[-1] else len(lines) - 1


def _parse(body: bytes) -> tuple[str, _Row | None]:
    """A path and its row. The checksum of a line shows an accident, not who wrote it."""
    path, row = json.loads(body)
    if not isinstance(path, str):
        raise ValueError
    if row is None:
        return path, None
    if [type(value) for value in row] != _TYPES or not _SHA256.fullmatch(row[5]):
        raise ValueError
    return path, _Row(*row)


def _write(file: str, content: bytes, *, whole: bool) -> None:
    """Append to the file, or replace it as a whole."""
    folder = os.path.dirname(file)
    os.makedirs(folder, exist_ok=True)
    if not whole:
        # Without O_NONBLOCK, a fifo that took the file's place would block for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(file, flags, 0o666)
        with open(fd, "wb", buffering=0) as stream:
            stream.write(content)
        return
    fd, temporary = tempfile.mkstemp(prefix=".memo-", dir=folder)
    try:
        with open(fd, "wb") as stream:
            stream.write(content)
        os.replace(temporary, file)
    except OSError:
        os.unlink(temporary)
        raise
