"""A tree in a sandbox, completed with files that are no inputs of its process one by one.

These are files of the host, which a build engine need not store: as they are no inputs of the
process, each content is compared with its SHA-256. And files in packs (occlum_build.process.packs).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import groupby
from typing import BinaryIO, NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.source import SourceFile, open_source
from occlum_build.process.packs import PACKS
from occlum_build.process.step import CONTENT_MISSING
from occlum_build.sources.extras import write_or_skip

SYSROOTS = ".sysroots"
TABLE = "table.json"
_CHUNK_BYTES = 1 << 20


class HostFile(NamedTuple):
    """A file: path in the tree, SHA-256 in hex, path below the sysroot, which is absolute."""

    path: str
    sha256: str
    source: str


class FileInPack(NamedTuple):
    """A file: path in the tree, name of the pack, where in that it begins, size in bytes."""

    path: str
    pack: str
    offset: int
    size: int


def table_json(host: Iterable[HostFile], packed: Iterable[FileInPack] = ()) -> bytes:
    """The table of files, sorted, as JSON."""
    table = {"host": sorted(host), "packed": sorted(packed)}
    return json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()


def complete_tree(root: str, table: str) -> None:
    """Copy the files of a table into the tree, where nothing may be in their places.

    Those of the host are looked for in each of the sysroots that the directory SYSROOTS has links
    to, packs are in the directory PACKS. Raises OcclumError `host-content` for a content that no
    sysroot has.
    """
    with open(table, encoding="utf-8") as text:
        found = json.load(text)
    tree = _Tree(root)
    host = [HostFile(*row) for row in found["host"]]
    if host:
        sysroots = sysroot_links()
        for file in host:
            _copy(file, tree.path(file.path), sysroots)
    packed = [FileInPack(*row) for row in found["packed"]]
    for pack, files in groupby(sorted(packed, key=_order), lambda file: file.pack):
        with open(os.path.join(PACKS, pack), "rb") as stream:
            for one in files:
                _copy_part(stream, one, tree.path(one.path))


class _Tree:
    """Gives the paths of new files, after their directories were made."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._folder = ""

    def path(self, path: str) -> str:
        path = os.path.join(self._root, path)
        if os.path.dirname(path) != self._folder:
            self._folder = os.path.dirname(path)
            os.makedirs(self._folder, exist_ok=True)
        return path


def _order(file: FileInPack) -> tuple[str, int]:
    return file.pack, file.offset


def _copy_part(stream: BinaryIO, file: FileInPack, path: str) -> None:
    stream.seek(file.offset)
    left = file.size
    with open(path, "xb") as copy:
        while left:
            chunk = stream.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise EOFError(f"{file.pack} ends within {file.path}")
            left -= copy.write(chunk)


def _copy(file: HostFile, path: str, sysroots: list[str]) -> None:
    """Copy from the first sysroot with the content, which is put in front for the next file."""
    for number, sysroot in enumerate(sysroots):
        if _has_copied(f"{sysroot}{file.source}", path, file.sha256):
            sysroots.insert(0, sysroots.pop(number))
            return
    raise content_missing(file.source)


def content_missing(source: str) -> OcclumError:
    """The error of a file of the host, by its path there, that no sysroot has as it was planned."""
    return OcclumError(
        CONTENT_MISSING,
        f"{source} is not there or not what it was when the image was planned",
        hint="leave the files of the host alone while images are built",
    )


def sysroot_links() -> list[str]:
    """The links to sysroots, one of which has each file of the host."""
    return [os.path.join(SYSROOTS, name) for name in sorted(os.listdir(SYSROOTS))]


def _has_copied(source: str, path: str, sha256: str) -> bool:
    hasher = hashlib.sha256()
    try:
        original = open_source(source)
    except (OSError, OcclumError):
        return False
    with original, open(path, "xb") as copy:
        for chunk in _chunks(original):
            hasher.update(chunk)
            write_or_skip(copy, chunk)
        copy.truncate()
    if hasher.hexdigest() == sha256:
        return True
    os.unlink(path)
    return False


def _chunks(source: SourceFile) -> Iterator[bytes]:
    """Its bytes as far as it can be read: its SHA-256 tells whether that was all."""
    with suppress(OSError, OcclumError):
        yield from source.chunks()
