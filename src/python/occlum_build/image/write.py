"""Writes a planned image into a directory: only what differs, each file whole or not at all."""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import tempfile
from dataclasses import dataclass
from typing import Callable, Iterable

from occlum_build.errors import OcclumError
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.image.plan import ImagePlan

_CHUNK_BYTES = 1 << 20
_TEMPORARY = ".occlum-build-"


@dataclass
class Written:
    """What a write did: counts of entries and of bytes."""

    written: int = 0
    unchanged: int = 0
    removed: int = 0
    bytes: int = 0


class ImageWriter:
    """Brings the directory `root` to the plan; `os_path` tells where a source is on this machine."""

    def __init__(self, root: str, os_path: Callable[[str], str]) -> None:
        self.root = os.path.realpath(root)
        self.os_path = os_path
        self.result = Written()

    def write(self, plan: ImagePlan, *, progress: Callable[[Entry], None] | None = None) -> Written:
        """Write the entries; raises OcclumError when the image or a source cannot be used."""
        try:
            os.makedirs(self.root, exist_ok=True)
            directories = [entry for entry in plan.entries if entry.kind == DIR]
            for entry in directories:
                self._make_dir(entry)
            for entry in plan.entries:
                if progress:
                    progress(entry)
                if entry.kind == SYMLINK:
                    self._write_link(entry)
                elif entry.kind == FILE:
                    self._write_file(entry)
            for entry in reversed(directories):
                self._finish_dir(entry)
        except OSError as error:
            where = error.filename or self.root
            raise OcclumError("write", f"{where} cannot be written: {error.strerror}") from None
        return self.result

    def remove_others(self, plan: ImagePlan) -> None:
        """Delete what the plan does not name, and what has another type than planned."""
        kinds = {entry.path: entry.kind for entry in plan.entries}
        if os.path.isdir(self.root):
            self._clean("", kinds)

    def _clean(self, directory: str, kinds: dict[str, str]) -> None:
        for found in list(os.scandir(self._path(directory))):
            path = posixpath.join(directory, found.name)
            is_dir = found.is_dir(follow_symlinks=False)
            kind = DIR if is_dir else SYMLINK if found.is_symlink() else FILE
            if kinds.get(path) != kind:
                shutil.rmtree(found.path) if is_dir else os.unlink(found.path)
                self.result.removed += 1
            elif is_dir:
                self._clean(path, kinds)

    def _path(self, path: str) -> str:
        return os.path.join(self.root, path) if path else self.root

    def _make_dir(self, entry: Entry) -> None:
        path = self._path(entry.path)
        try:
            os.mkdir(path, 0o700 | entry.mode)
            self.result.written += 1
        except FileExistsError:
            found = stat.S_IMODE(os.lstat(path).st_mode)
            if entry.source and found & 0o700 != 0o700:
                os.chmod(path, found | 0o700)  # until _finish_dir

    def _finish_dir(self, entry: Entry) -> None:
        """Give a directory its mode and time last, as writing below it changes the time."""
        path = self._path(entry.path)
        found = os.lstat(path)
        if not entry.source:
            if entry.path and stat.S_IMODE(found.st_mode) != entry.mode:
                os.chmod(path, entry.mode)
            return
        source = os.lstat(self.os_path(entry.source))
        if stat.S_IMODE(found.st_mode) != entry.mode:
            os.chmod(path, entry.mode)
        if found.st_mtime_ns != source.st_mtime_ns:
            os.utime(path, ns=(source.st_atime_ns, source.st_mtime_ns))

    def _write_link(self, entry: Entry) -> None:
        path = self._path(entry.path)
        if os.path.islink(path) and os.readlink(path) == entry.target:
            self.result.unchanged += 1
            return
        temporary = self._temporary_name(path)
        os.symlink(entry.target, temporary)
        self._rename(temporary, path)

    def _write_file(self, entry: Entry) -> None:
        path, source = self._path(entry.path), self.os_path(entry.source)
        with open(source, "rb", buffering=0) as file:
            wanted = os.fstat(file.fileno())
            if self._is_same(path, file.fileno(), wanted):
                self._fix_metadata(path, entry.mode, wanted)
                return
            temporary = self._temporary_name(path)
            try:
                with open(temporary, "xb", buffering=0) as out:
                    _copy(file.fileno(), out.fileno(), wanted.st_size)
                    os.fchmod(out.fileno(), entry.mode)
                    os.utime(out.fileno(), ns=(wanted.st_atime_ns, wanted.st_mtime_ns))
                self._rename(temporary, path)
            except BaseException:
                if os.path.lexists(temporary):
                    os.unlink(temporary)
                raise
        self.result.bytes += wanted.st_size

    def _rename(self, temporary: str, path: str) -> None:
        os.replace(temporary, path)
        self.result.written += 1

    def _is_same(self, path: str, source: int, wanted: os.stat_result) -> bool:
        """Does the regular file at `path` hold the bytes of the open source?"""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size != wanted.st_size:
                return False
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return False  # a hard link to the source would change with it
            same = _same_bytes(fd, source)
        finally:
            os.close(fd)
        os.lseek(source, 0, os.SEEK_SET)
        return same

    def _fix_metadata(self, path: str, mode: int, wanted: os.stat_result) -> None:
        found = os.lstat(path)
        if stat.S_IMODE(found.st_mode) != mode:
            os.chmod(path, mode)
        if found.st_mtime_ns != wanted.st_mtime_ns:
            os.utime(path, ns=(wanted.st_atime_ns, wanted.st_mtime_ns))
        self.result.unchanged += 1

    def _temporary_name(self, path: str) -> str:
        return tempfile.mktemp(prefix=_TEMPORARY, dir=os.path.dirname(path))


def _copy(source: int, target: int, size: int) -> None:
    """Copy in the kernel; a source that grows meanwhile is copied to its end."""
    while True:
        copied = os.sendfile(target, source, None, max(size, _CHUNK_BYTES))
        if copied == 0:
            return


def _same_bytes(first: int, second: int) -> bool:
    while True:
        chunk = os.read(first, _CHUNK_BYTES)
        if chunk != os.read(second, _CHUNK_BYTES):
            return False
        if not chunk:
            return True


def planned_bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries if entry.kind == FILE)
