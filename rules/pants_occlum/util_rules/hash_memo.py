"""SHA-256 of host files, with a memo that spares reading what has not changed since."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import threading
import time
from typing import NamedTuple

MAX_ROWS = 300_000
# A file written this recently may be written again within the same tick of its time stamps.
SETTLED_NS = 2_000_000_000
CHUNK_BYTES = 1 << 20
ELF_MAGIC = b"\x7fELF"


class FileHash(NamedTuple):
    """The content of one regular file; mode is the permission bits, size in bytes."""

    sha256: str
    size: int
    mode: int
    is_elf: bool


class _Row(NamedTuple):
    dev: int
    ino: int
    size: int
    mtime_ns: int
    ctime_ns: int
    sha256: str
    is_elf: bool


class HashMemo:
    """path -> content hash, valid for one (device, inode, size, mtime, ctime); safe for threads.

    The file, when there is one, is a line with the SHA-256 of the rest, then a JSON object. A file
    that is damaged or of another version counts as empty.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._rows = _load(file)
        self._changed = False

    def known(self, path: str, found: os.stat_result) -> FileHash | None:
        """The content of the file that lstat just found at `path`; None when it must be read."""
        with self._lock:
            row = self._rows.pop(path, None)
            if row is None:
                return None
            self._rows[path] = row  # used last: dropped last
        if row[:5] != _identity(found):
            return None
        return FileHash(row.sha256, row.size, stat.S_IMODE(found.st_mode), row.is_elf)

    def read(self, path: str) -> FileHash:
        """Read a regular file, links not followed, and remember it if it has settled.

        Raises OSError when it cannot be read or does not hold still.
        """
        started_ns = time.time_ns()
        host_path = path.encode("utf-8", "surrogateescape")
        read = _read_once(host_path) or _read_once(host_path)
        if read is None:
            raise OSError("was written to while it was read, twice")
        found, digest, is_elf = read
        identity = _identity(found)
        settled = started_ns - max(found.st_mtime_ns, found.st_ctime_ns) > SETTLED_NS
        with self._lock:
            if settled:
                self._rows[path] = _Row(*identity, digest, is_elf)
                self._changed = True
        return FileHash(digest, found.st_size, stat.S_IMODE(found.st_mode), is_elf)

    def forget(self, path: str) -> None:
        """Drop what is known of a path that turned out to hold something else."""
        with self._lock:
            self._changed |= self._rows.pop(path, None) is not None

    def save(self) -> None:
        """Write the memo to its file if it changed; failing to is no error, only slower."""
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            kept = list(self._rows.items())[-MAX_ROWS:]
        body = json.dumps({"version": 1, "rows": dict(kept)}).encode("ascii")
        try:
            _replace(self._file, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        except OSError:
            return


_memos: dict[str, HashMemo] = {}
_memos_lock = threading.Lock()


def shared_memo(file: str) -> HashMemo:
    """The memo of a file, loaded once a process."""
    with _memos_lock:
        if file not in _memos:
            _memos[file] = HashMemo(file)
        return _memos[file]


def _identity(found: os.stat_result) -> tuple[int, int, int, int, int]:
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read_once(path: bytes) -> tuple[os.stat_result, str, bool] | None:
    """The file as it stood during one whole read; None when it was written to meanwhile."""
    # Without O_NONBLOCK, a fifo that took the file's place would block for ever.
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb", buffering=0) as file:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise OSError("is no longer a regular file")
        digest = hashlib.sha256()
        head = chunk = file.read(CHUNK_BYTES)
        while chunk:
            digest.update(chunk)
            chunk = file.read(CHUNK_BYTES)
        after = os.fstat(fd)
    if _identity(before) != _identity(after):
        return None
    return after, digest.hexdigest(), head.startswith(ELF_MAGIC)


def _load(file: str) -> dict[str, _Row]:
    try:
        with open(file, "rb") as stream:
            checksum, _, body = stream.read().partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != checksum:
            return {}
        data = json.loads(body)
        if data["version"] != 1:
            return {}
        return {path: _Row(*row) for path, row in data["rows"].items()}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _replace(file: str, content: bytes) -> None:
    folder = os.path.dirname(file)
    os.makedirs(folder, exist_ok=True)
    fd, temporary = tempfile.mkstemp(prefix=".memo-", dir=folder)
    try:
        with open(fd, "wb") as stream:
            stream.write(content)
        os.replace(temporary, file)
    except OSError:
        os.unlink(temporary)
        raise
