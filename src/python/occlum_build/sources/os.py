"""Sources read straight from this machine's file system, for the CLI."""

from __future__ import annotations

import errno
import os
import stat as stat_module
from collections.abc import Iterable, Sequence

from occlum_build.elf.budget import Unpacking
from occlum_build.elf.facts import Archive, ElfFacts, Malformed, Outcome, Script, may_hold_elf
from occlum_build.errors import OcclumError
from occlum_build.files.bounds import CONFIG_BYTES
from occlum_build.files.reading import read_file
from occlum_build.files.source import (
    SOURCE_FLAGS,
    Identity,
    SourceFile,
    identity_of,
    open_source,
)
from occlum_build.sources.extras import SPARSE_BYTES, holes_of, xattrs_of
from occlum_build.sources.model import DIR, FIFO, FILE, OTHER, SYMLINK, SourceStat

_KINDS = {
    stat_module.S_IFREG: FILE,
    stat_module.S_IFDIR: DIR,
    stat_module.S_IFLNK: SYMLINK,
    stat_module.S_IFIFO: FIFO,
}
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class OsSources:
    """Absolute source paths are looked up below `sysroot`, relative ones below the root directory.

    `image` is a real path that is never listed: the directory that the image is written to. What
    was looked at is expected to stay as it was: a file that is another one when it is read is an
    error.
    """

    def __init__(self, sysroot: str = "/", image: str = "") -> None:
        self._image = image
        self._prefix = "" if sysroot == "/" else sysroot.rstrip("/")
        self._stats: dict[str, SourceStat | None] = {}
        self._identities: dict[str, Identity] = {}
        self._hashes: dict[str, str] = {}
        self._facts: dict[str, Outcome] = {}
        self._unpacking = Unpacking()  # of all archives

    def os_path(self, path: str) -> str:
        """Where a source path is on this machine."""
        return self._prefix + path if path.startswith("/") else "/" + path

    def expect(self, path: str, *, tree: bool = False) -> None:
        """Nothing to prepare: everything can be looked at right away."""

    def lstat(self, path: str) -> SourceStat | None:
        try:
            return self._stats[path]
        except KeyError:
            stat, identity = _look(self.os_path(path))
        self._stats[path] = stat
        if identity is not None:
            self._identities[path] = identity
        return stat

    def identity(self, path: str) -> Identity | None:
        """What a regular file was when it was looked at; None where nobody looked."""
        return self._identities.get(path)

    def known_sha256(self, path: str) -> str:
        """The SHA-256 of a file that somebody asked for, else ""."""
        return self._hashes.get(path, "")

    def names(self, path: str) -> Sequence[str]:
        try:
            found = os.listdir(self.os_path(path))
        except OSError as error:
            raise _unreadable(path, error) from None
        parent, name = os.path.split(self._image)
        return sorted(one for one in found if one != name or self.os_path(path) != parent)

    def read(self, path: str, limit: int = CONFIG_BYTES) -> bytes:
        return read_file(self.os_path(path), limit, code="file", name=path)

    def sha256(self, path: str) -> str:
        if path not in self._hashes:
            try:
                with self._open(path) as file:
                    self._hashes[path] = file.sha256()
                    file.check_unchanged()
            except OSError as error:
                raise _unreadable(path, error) from None
        return self._hashes[path]

    def _open(self, path: str) -> SourceFile:
        return open_source(self.os_path(path), planned=self._identities.get(path))

    def look_ahead(self, paths: Iterable[str]) -> None:
        """Find out which of many files have no facts, with less work than `facts` has.

        Of all others, and of those that cannot be read, `facts` and the like tell as ever.
        """
        # Not in several processes: to start another one takes as long as some thousand files.
        for path in paths:
            if path not in self._facts and self._begins_as_data(path):
                self._facts[path] = None

    def _begins_as_data(self, path: str) -> bool:
        """Is it plain that a file has no facts? False where it is another one than it was."""
        try:
            descriptor = os.open(self.os_path(path), SOURCE_FLAGS)
        except OSError:
            return False
        try:
            if identity_of(os.fstat(descriptor)) != self._identities.get(path):
                return False
            return not may_hold_elf(os.pread(descriptor, 4, 0))
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def facts(self, path: str) -> ElfFacts | None:
        found = self._known_facts(path)
        return found if isinstance(found, ElfFacts) else None

    def malformed(self, path: str) -> str:
        found = self._known_facts(path)
        return found.reason if isinstance(found, Malformed) else ""

    def archive(self, path: str) -> Archive | None:
        found = self._known_facts(path)
        return found if isinstance(found, Archive) else None

    def script(self, path: str) -> Script | None:
        found = self._known_facts(path)
        return found if isinstance(found, Script) else None

    def _known_facts(self, path: str) -> Outcome:
        try:
            return self._facts[path]
        except KeyError:
            found = self._facts[path] = self._read_facts(path)
        return found

    def _read_facts(self, path: str) -> Outcome:
        try:
            with self._open(path) as source:
                if not may_hold_elf(os.pread(source.descriptor, 4, 0)):
                    return None
                from occlum_build.elf.archive import read_outcome  # not every run meets an ELF file

                with open(source.descriptor, "rb", closefd=False) as file:
                    self._unpacking.path = path
                    return read_outcome(file, self._unpacking)
        except OSError as error:
            raise _unreadable(path, error) from None


def lstat(os_path: str) -> SourceStat | None:
    """The entry at a path of this machine; None where there is none."""
    return _look(os_path)[0]


def _look(os_path: str) -> tuple[SourceStat | None, Identity | None]:
    try:
        found = os.lstat(os_path)
        kind = _KINDS.get(stat_module.S_IFMT(found.st_mode), OTHER)
        target = os.readlink(os_path) if kind == SYMLINK else ""
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None, None
        raise _unreadable(os_path, error) from None
    mode = stat_module.S_IMODE(found.st_mode)
    if kind != FILE:
        return SourceStat(kind, mode, found.st_size, target), None
    size = found.st_size
    holes = holes_of(os_path, found) if size >= SPARSE_BYTES else 0
    stat = SourceStat(kind, mode, size, "", "", None, xattrs_of(os_path), holes)
    return stat, identity_of(found)


def _unreadable(path: str, error: OSError) -> OcclumError:
    return OcclumError("file", f"{path} cannot be read: {error.strerror}")
