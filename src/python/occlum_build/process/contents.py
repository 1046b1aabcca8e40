"""The files of a tree in a sandbox, and of the table of what it lacks, read where they are.

As occlum_build.process.complete, without a copy of each: to create a file, and to delete it with
the sandbox, takes some file systems longer than to read it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple, cast

from occlum_build.errors import OcclumError
from occlum_build.files.source import SourceFile, open_source
from occlum_build.process.complete import (
    SYSROOTS,
    FileInPack,
    HostFile,
    content_missing,
)
from occlum_build.process.packs import PACKS

_HELD_BYTES = 4 << 20  # larger files of the host are read twice, and not held


class Content(NamedTuple):
    """A stream at its start, and how many bytes are to be read of it; `bits` are of its mode."""

    size: int
    stream: BinaryIO
    bits: int = 0o644


class Contents:
    """The contents of a tree below `root`, completed by a table.

    A file of the host is compared with its SHA-256: whoever reads a large one to its end gets
    OcclumError `host-content` where it changed meanwhile.
    """

    def __init__(self, root: str, table: str = "") -> None:
        self._root = root
        self._host: dict[str, HostFile] = {}
        self._packed: dict[str, FileInPack] = {}
        self._sysroots: list[str] = []
        if table:
            with open(table, encoding="utf-8") as text:
                found = json.load(text)
            self._host = {row[0]: HostFile(*row) for row in found["host"]}
            self._packed = {row[0]: FileInPack(*row) for row in found["packed"]}
        if self._host:
            self._sysroots = [os.path.join(SYSROOTS, name) for name in sorted(os.listdir(SYSROOTS))]

    @contextmanager
    def open(self, path: str) -> Iterator[Content]:
        """A file by its path in the tree. Raises OcclumError `host-content`, `source-changed`."""
        if path in self._host:
            with self._open_host(self._host[path]) as content:
                yield content
        elif path in self._packed:
            packed = self._packed[path]
            with open(os.path.join(PACKS, packed.pack), "rb") as pack:
                pack.seek(packed.offset)
                yield Content(packed.size, pack)
        else:
            with (
                open_source(os.path.join(self._root, path)) as source,
                open(source.descriptor, "rb", buffering=0, closefd=False) as file,
            ):
                yield Content(source.size, cast("BinaryIO", file), source.status.st_mode)
                source.check_unchanged()

    @contextmanager
    def _open_host(self, file: HostFile) -> Iterator[Content]:
        """From the first sysroot with the content, which is put in front for the next file."""
        for number, sysroot in enumerate(self._sysroots):
            try:
                source = open_source(f"{sysroot}{file.source}")
            except (OSError, OcclumError):
                continue
            with source:
                content = _compared(source, file)
                if content is not None:
                    self._sysroots.insert(0, self._sysroots.pop(number))
                    yield content
                    return
        raise content_missing(file.source)


def _compared(source: SourceFile, file: HostFile) -> Content | None:
    """What an open file has, None where that is not what was planned."""
    try:
        if source.size <= _HELD_BYTES:
            data = b"".join(source.chunks())
            is_planned = hashlib.sha256(data).hexdigest() == file.sha256
            return Content(len(data), io.BytesIO(data)) if is_planned else None
        if source.sha256() != file.sha256:
            return None
    except (OSError, OcclumError):
        return None
    return Content(source.size, cast("BinaryIO", _ReadAgain(source, file)))


class _ReadAgain:
    """A file that was compared, compared once more as it is read to its end."""

    def __init__(self, source: SourceFile, file: HostFile) -> None:
        self._source, self._file = source, file
        self._offset, self._hasher = 0, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        left = self._source.size - self._offset
        try:
            data = os.pread(
                self._source.descriptor, left if size < 0 else min(size, left), self._offset
            )
        except OSError:
            raise content_missing(self._file.source) from None
        self._offset += len(data)
        self._hasher.update(data)
        is_end = self._offset == self._source.size
        if (size and not data and left) or (
            is_end and self._hasher.hexdigest() != self._file.sha256
        ):
            raise content_missing(self._file.source)
        return data
