"""Writes a planned image into a directory: only what differs, each file whole or not at all."""

from __future__ import annotations

import fcntl
import os
import posixpath
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from typing import Callable

from occlum_build.errors import OcclumError
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.image.plan import ImagePlan
from occlum_build.sources.extras import copy_ranges, data_ranges

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
    """Brings the directory `root` to the plan; `os_path` is where a source is on this machine."""

    def __init__(self, root: str, os_path: Callable[[str], str]) -> None:
        self.root = os.path.realpath(root)
        self.os_path = os_path
        self.result = Written()

    def write(
        self,
        plan: ImagePlan,
        *,
        sync: bool = False,
        progress: Callable[[Entry], None] | None = None,
    ) -> Written:
        """Write the entries; raises OcclumError when the image or a source cannot be used.

        With `sync` all that the plan does not name, or that has another type, is deleted first.
        """
        try:
            if not os.path.isdir(self.root):
                os.makedirs(self.root)
                os.chmod(self.root, 0o755)  # whatever the umask
            with _locked(self.root):
                if sync:
                    self._clean("", {entry.path: entry.kind for entry in plan.entries})
                self._write(plan, progress)
        except OSError as error:
            where = error.filename or self.root
            raise OcclumError("write", f"{where} cannot be written: {error.strerror}") from None
        return self.result

    def _write(self, plan: ImagePlan, progress: Callable[[Entry], None] | None) -> None:
        directories = [entry for entry in plan.entries if entry.kind == DIR]
        for entry in directories:
            self._make_dir(entry)
        self._remove_leftovers({entry.path for entry in plan.entries if entry.kind != DIR})
        for entry in plan.entries:
            if progress:
                progress(entry)
            if entry.kind == SYMLINK:
                self._write_link(entry)
            elif entry.kind == FILE:
                self._write_file(entry)
        for entry in reversed(directories):
            self._finish_dir(entry)

    def _remove_leftovers(self, planned: Collection[str]) -> None:
        """Delete the temporary files of a run that was killed."""
        for directory in sorted({posixpath.dirname(path) for path in planned}):
            with os.scandir(self._path(directory)) as found:
                for one in found:
                    if not one.name.startswith(_TEMPORARY) or one.is_dir(follow_symlinks=False):
                        continue
                    if posixpath.join(directory, one.name) not in planned:
                        os.unlink(one.path)

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
            if found & 0o700 != 0o700:
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
        with self._replacing(path) as temporary:
            os.symlink(entry.target, temporary)

    def _write_file(self, entry: Entry) -> None:
        path, source = self._path(entry.path), self.os_path(entry.source)
        with _open_source(source) as file:
            wanted = os.fstat(file.fileno())
            if self._is_same(path, file.fileno(), wanted):
                self._fix_metadata(path, entry.mode, wanted)
                return
            with self._replacing(path) as temporary, open(temporary, "xb", buffering=0) as out:
                if wanted.st_blocks * 512 < wanted.st_size:
                    copy_ranges(file.fileno(), out.fileno(), wanted.st_size)
                else:
                    _copy(file.fileno(), out.fileno(), wanted.st_size)
                os.fchmod(out.fileno(), entry.mode)
                os.utime(out.fileno(), ns=(wanted.st_atime_ns, wanted.st_mtime_ns))
        self.result.bytes += wanted.st_size

    @contextmanager
    def _replacing(self, path: str) -> Iterator[str]:
        """A temporary name beside `path`; what is made there takes its place, unless that fails."""
        temporary = tempfile.mktemp(prefix=_TEMPORARY, dir=os.path.dirname(path))
        try:
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            if os.path.lexists(temporary):
                os.unlink(temporary)
            raise
        self.result.written += 1

    def _is_same(self, path: str, source: int, wanted: os.stat_result) -> bool:
        """Does the regular file at `path` hold the bytes of the open source?"""
        try:
            # Non-blocking, as it may be a fifo.
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size != wanted.st_size:
                return False
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return False  # a hard link to the source would change with it
            same = _same_bytes(fd, source, wanted.st_size)
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


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """Keeps a second run out of the directory; where the file system has no locks, it cannot."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OcclumError("write", f"another run is writing to {directory}") from None
        yield
    finally:
        os.close(fd)


def _open_source(path: str) -> FileIO:
    try:
        return FileIO(path)
    except OSError as error:
        raise OcclumError("file", f"{path} cannot be read: {error.strerror}") from None


def _copy(source: int, target: int, size: int) -> None:
    """Copy in the kernel; a source that grows meanwhile is copied to its end."""
    while True:
        copied = os.sendfile(target, source, None, max(size, _CHUNK_BYTES))
        if copied == 0:
            return


def _same_bytes(first: int, second: int, size: int) -> bool:
    """Compare two open files of one size; holes that both have are not read."""
    ranges = data_ranges(second, size)
    for start, end in ranges if ranges == data_ranges(first, size) else [(0, size)]:
        while start < end:
            chunk = os.pread(first, min(end - start, _CHUNK_BYTES), start)
            if not chunk or chunk != os.pread(second, len(chunk), start):
                return False
            start += len(chunk)
    return True


def others_in(root: str, plan: ImagePlan) -> list[str]:
    """The in-image paths in the directory `root` that the plan does not name, topmost and sorted.

    The directories above a planned entry count as named, and the links that the BOM led through.
    """
    named = {*(entry.path for entry in plan.entries), *plan.followed}
    for path in list(named):
        while path:
            path = posixpath.dirname(path)
            named.add(path)
    others: list[str] = []
    pending = [""]
    while pending:
        directory = pending.pop()
        try:
            found = list(os.scandir(os.path.join(root, directory)))
        except OSError:
            continue
        for child in found:
            path = posixpath.join(directory, child.name)
            if path not in named:
                others.append(path)
            elif child.is_dir(follow_symlinks=False):
                pending.append(path)
    return sorted(others)


def planned_bytes(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries if entry.kind == FILE)
