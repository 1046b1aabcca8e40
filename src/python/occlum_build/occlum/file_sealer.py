"""Regular files of a secure file system, sealed from contents that have to be what was planned."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.source import open_source
from occlum_build.process.complete import content_missing, sysroot_links
from occlum_build.sefs.fs_format import disk_filename
from occlum_build.sefs.hostio import read_at
from occlum_build.sefs.pf_crypto import Sealer
from occlum_build.sefs.pf_format import Layout
from occlum_build.sefs.pf_writer import PfWriter, Source

CONTENTS = "contents"


class ImageFile(NamedTuple):
    """A regular file: inode number, size, SHA-256 in hex, and its path below a sysroot or ""."""

    inode: int
    size: int
    sha256: str
    source: str

    @property
    def name(self) -> str:
        """Of the protected file."""
        return disk_filename(self.inode).hex()

    @property
    def sealed_size(self) -> int:
        """Bytes of the protected file."""
        return Layout(self.size).host_length


class Sealed(NamedTuple):
    """The MAC of a protected file, and the SHA-256 in hex of all of it."""

    mac: bytes
    sha256: str


class FileSealer:
    """Writes protected files into open files; `sealer_of` gives what seals that of a name.

    A content is an input below CONTENTS, or in one of the sysroots that a process has links to.
    """

    def __init__(self, sealer_of: Callable[[bytes], Sealer]) -> None:
        self._sealer_of = sealer_of
        self._writer = PfWriter()
        self._sysroots: list[str] | None = None

    def seal(self, file: ImageFile, descriptor: int, start: int = 0) -> Sealed:
        """Write one that begins `start` bytes into the open file, which can be read.

        Raises OcclumError CONTENT_MISSING for a content that nobody has, and OSError.
        """
        if not file.source:
            sealed = self._compared(f"{CONTENTS}/{file.sha256}", file, descriptor, start)
            if sealed is None:
                raise content_missing(f"{CONTENTS}/{file.sha256}")
            return sealed
        if self._sysroots is None:
            self._sysroots = sysroot_links()
        for number, sysroot in enumerate(self._sysroots):
            sealed = self._compared(f"{sysroot}{file.source}", file, descriptor, start)
            if sealed is not None:
                self._sysroots.insert(0, self._sysroots.pop(number))  # it has the next file, too
                return sealed
        raise content_missing(file.source)

    def node(self, name: str, source: Source, descriptor: int, start: int = 0) -> Sealed:
        """Write one of a plaintext; raises what that raises, and OSError."""
        clean, hasher = name.encode("ascii"), hashlib.sha256()
        mac = self._writer.write_to(
            descriptor, clean, source, self._sealer_of(clean), start=start, hasher=hasher
        )
        return Sealed(mac, hasher.hexdigest())

    def _compared(self, path: str, file: ImageFile, descriptor: int, start: int) -> Sealed | None:
        """Write one of the content at a path; None where that is another one."""
        try:
            original = open_source(path)
        except (OSError, OcclumError):
            return None
        with original:
            source = _Compared(original.descriptor, file.size)
            try:
                source.check_size(original.size)
                sealed = self.node(file.name, source, descriptor, start)
            except _OtherContentError:
                return None
        return sealed if source.hasher.hexdigest() == file.sha256 else None


class _OtherContentError(Exception):
    """A file has not the content that is wanted."""


class _Compared:
    """A plaintext that is read in order, and hashed on the way."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.size = size
        self.hasher = hashlib.sha256()
        self._descriptor = descriptor

    def check_size(self, told: int) -> None:
        """Files of /proc say that they have 0 bytes."""
        try:
            is_longer = bool(os.pread(self._descriptor, 1, self.size))
        except OSError as error:
            raise _OtherContentError from error
        if is_longer or told not in (0, self.size):
            raise _OtherContentError

    def read_into(self, view: memoryview, offset: int) -> None:
        try:
            is_there = read_at(self._descriptor, view, offset)
        except OSError as error:
            raise _OtherContentError from error
        if not is_there:
            raise _OtherContentError
        self.hasher.update(view)
