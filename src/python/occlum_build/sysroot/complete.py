"""A tree in a sandbox, completed with files of the host that a build engine need not store.

They are no inputs of the process that does it, so each content is compared with its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from occlum_build.errors import OcclumError

SYSROOTS = ".sysroots"
CONTENT_MISSING = "host-content"
# O_NONBLOCK: a fifo that took the place of a file must not hang us.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_CHUNK_BYTES = 1 << 20


class HostFile(NamedTuple):
    """A file: path in the tree, SHA-256 in hex, path below the sysroot, which is absolute."""

    path: str
    sha256: str
    source: str


def table_json(files: Iterable[HostFile]) -> bytes:
    """The table of files, sorted, as JSON."""
    return json.dumps(sorted(files), separators=(",", ":"), ensure_ascii=False).encode()


def complete_tree(root: str, table: str) -> None:
    """Copy the files of a table into the tree, where nothing may be in their places.

    They are looked for in each of the sysroots that the directory SYSROOTS has links to. Raises
    OcclumError `host-content` for a content that is in none of them.
    """
    with open(table, encoding="utf-8") as text:
        files = [HostFile(*row) for row in json.load(text)]
    sysroots = [os.path.join(SYSROOTS, name) for name in sorted(os.listdir(SYSROOTS))]
    folder = ""
    for file in files:
        path = os.path.join(root, file.path)
        if os.path.dirname(path) != folder:
            folder = os.path.dirname(path)
            os.makedirs(folder, exist_ok=True)
        _copy(file, path, sysroots)


def _copy(file: HostFile, path: str, sysroots: Sequence[str]) -> None:
    for sysroot in sysroots:
        if _has_copied(f"{sysroot}{file.source}", path, file.sha256):
            return
    raise OcclumError(
        CONTENT_MISSING,
        f"{file.source} is not there or not what it was when the image was planned",
        hint="leave the files of the host alone while images are built",
    )


def _has_copied(source: str, path: str, sha256: str) -> bool:
    hasher = hashlib.sha256()
    try:
        original = os.open(source, _FLAGS)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(original).st_mode):
            return False
        with open(path, "xb", buffering=0) as copy:
            while chunk := os.read(original, _CHUNK_BYTES):
                hasher.update(chunk)
                copy.write(chunk)
    finally:
        os.close(original)
    if hasher.hexdigest() == sha256:
        return True
    os.unlink(path)
    return False
