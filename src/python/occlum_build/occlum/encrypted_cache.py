"""What was encrypted is kept on this machine, so that a later run need not encrypt it again.

An entry is a directory of files and an index with their digests, which is authenticated with a key
that is derived of the image key; it is there complete or not at all. Its name is a digest of the
key's fingerprint, of what was to be sealed and of the code that did it. Files are 0600 and
directories 0700. Nothing in it is plaintext, nothing of the key; what has the key itself is never
kept.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import MIB
from occlum_build.files.handles import CREATE
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import READ_FLAGS, read_file, read_start
from occlum_build.files.trees import clear, walk

INDEX = "index.json"
_INDEX_BYTES = 64 * MIB
_INDEX_START = b'{"files": '
_TEMPORARY = ".new-"
_CHUNK_BYTES = 1 << 20
_DAY_SECONDS = 86_400
_MODE, _FOLDER_MODE = 0o600, 0o700
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Unusable(Exception):
    """An entry is damaged, or goes away while it is read."""


class KeptFile(NamedTuple):
    """A file of an entry: its path, SHA-256 in hex, and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Limits:
    """Of all entries together, and for how many days an entry is kept that nobody takes."""

    most_bytes: int
    days: int


@dataclass(frozen=True)
class EncryptedCache:
    """The entries in a directory, of whatever key; nothing that fails here is an error of a run."""

    folder: Path
    limits: Limits

    def look(self, name: str, key: str) -> tuple[KeptFile, ...]:
        """The files of an entry, as its index says; none where there is no right one."""
        try:
            entry = self.folder / name
            _check_owned(entry)
            files = _read_index(entry, key)
            os.utime(entry)
        except (OSError, OcclumError, _Unusable, ValueError):
            return ()
        return tuple(files)

    def content(self, name: str, file: KeptFile) -> bytes | None:
        """What a small file of an entry has; None where that is not what its index says."""
        try:
            content = read_file(self.folder / name / file.path, file.size)
        except (OSError, OcclumError):
            return None
        return content if hashlib.sha256(content).hexdigest() == file.sha256 else None

    def take(self, name: str, out: Path, key: str) -> bool:
        """Copy an entry into `out`, which does not exist; False where there is no right one.

        What is damaged, or has modes that are open to others, is removed.
        """
        entry = self.folder / name
        if not os.path.lexists(entry):
            return False
        try:
            _check_owned(entry)
            out.mkdir()
            for file in _read_index(entry, key):
                (out / file.path).parent.mkdir(parents=True, exist_ok=True)
                if _copy(entry / file.path, out / file.path, 0o644) != file.sha256:
                    raise _Unusable
            os.utime(entry)
        except (OSError, OcclumError, _Unusable, ValueError) as error:
            _clear(out)
            if getattr(error, "errno", None) not in _NO_SPACE:  # which is not the entry's fault
                self._remove(entry)
            return False
        return True

    def keep(self, name: str, made: Path, key: str) -> None:
        """Keep the files of a directory as an entry, unless it is there, and prune."""
        temporary = self.folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
        try:
            temporary.mkdir(_FOLDER_MODE)
            rows = []
            for path in _files(made):
                (temporary / path).parent.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
                sha256 = _copy(made / path, temporary / path, _MODE)
                rows.append([path, sha256, (made / path).lstat().st_size])
            files = json.dumps(rows, separators=(",", ":"))
            index = json.dumps({"files": files, "mac": _mac(name, files, key)})
            with open(os.open(temporary / INDEX, CREATE, _MODE), "w", encoding="utf-8") as stream:
                stream.write(index)
            temporary.rename(self.folder / name)
        except OSError:  # another run was first, or the disk is full
            _clear(temporary)
        self.prune()

    def prune(self, now: float | None = None) -> None:
        """Remove what nobody took for long, then what was taken longest ago, down to the limit."""
        now = time.time() if now is None else now
        entries = sorted(self._entries())
        size = sum(one[2] for one in entries)
        for taken, path, bytes_ in entries:
            is_left = path.name.startswith(_TEMPORARY) and now - taken > _DAY_SECONDS
            is_old = now - taken > self.limits.days * _DAY_SECONDS
            if is_left or is_old or size > self.limits.most_bytes:
                if path.name.startswith(_TEMPORARY) and not is_left:
                    continue  # of a run that is at it
                self._remove(path)
                size -= bytes_

    def _entries(self) -> Iterator[tuple[float, Path, int]]:
        with suppress(OSError):
            for path in filter(_is_ours, self.folder.iterdir()):
                with suppress(OSError):
                    taken = path.lstat().st_mtime
                    yield taken, path, sum((path / one).lstat().st_size for one in _files(path))

    def _remove(self, entry: Path) -> None:
        """Out of the way at once, so that no run takes half of it."""
        away = self.folder / f"{_TEMPORARY}{uuid.uuid4().hex}"
        with suppress(OSError):
            entry.rename(away)
            clear(str(away))


def open_cache(folder: Path, limits: Limits) -> EncryptedCache | None:
    """The cache in a directory, which is made; None where that is not this user's own.

    Others cannot look into it then, unless there is something else in it, which is left alone.
    """
    try:
        real = folder.resolve()  # of a link that leads to where nothing may be yet
        real.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        if real.stat().st_uid != os.geteuid():
            return None
        if all(map(_is_ours, real.iterdir())):
            os.chmod(real, _FOLDER_MODE)
    except OSError:
        return None
    return EncryptedCache(real, limits)


def entry_name(*parts: str) -> str:
    """The name of an entry: of the key's fingerprint, of what is sealed, and of the code."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _mac(name: str, files: str, key: str) -> str:
    return hmac.digest(key.encode(), f"{name}\0{files}".encode(), "sha256").hex()


def _files(folder: Path) -> list[str]:
    return sorted(path for path, one in walk(folder) if one.is_file(follow_symlinks=False))


def _clear(path: Path) -> None:
    with suppress(OSError):
        clear(str(path))


def _is_ours(path: Path) -> bool:
    """Is it an entry, or one that is made? Somebody may name a directory that has more in it."""
    if path.name.startswith(_TEMPORARY):
        return True
    try:
        return read_start(path / INDEX, len(_INDEX_START)) == _INDEX_START
    except (OSError, OcclumError):
        return False


def _check_owned(entry: Path) -> None:
    """An entry is a directory of this user's that nobody else can write to or read."""
    found = entry.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or entry.is_symlink():
        raise _Unusable


def _read_index(entry: Path, key: str) -> list[KeptFile]:
    found: Any = load_json(read_file(entry / INDEX, _INDEX_BYTES), INDEX)
    try:
        files, mac = found["files"], found["mac"]
        if not hmac.compare_digest(mac.encode(), _mac(entry.name, files, key).encode()):
            raise _Unusable
        return [KeptFile(*row) for row in load_json(files.encode(), INDEX)]
    except (AttributeError, KeyError, TypeError) as error:
        raise _Unusable from error


def _copy(source: Path, target: Path, mode: int) -> str:
    """The SHA-256 of what was copied to a new file."""
    hasher = hashlib.sha256()
    descriptor = os.open(source, READ_FLAGS | os.O_NOFOLLOW)
    with (
        open(descriptor, "rb", buffering=0) as original,
        open(os.open(target, CREATE, mode), "wb") as copy,  # buffered: else it may write a part
    ):
        while chunk := original.read(_CHUNK_BYTES):
            hasher.update(chunk)
            copy.write(chunk)
    return hasher.hexdigest()
