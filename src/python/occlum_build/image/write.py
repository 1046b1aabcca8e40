"""Writes a planned image into a directory: only what differs, each file whole or not at all.

All is done below open directories: what takes the place of one is an error, and never followed.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable

from occlum_build.errors import OcclumError
from occlum_build.files.handles import (
    CREATE,
    PASS_DIR,
    DirectoryHandles,
    make_directories,
    open_to_owner,
)
from occlum_build.files.prefix import PREFIX
from occlum_build.files.source import SOURCE_FLAGS, SourceFile, open_source
from occlum_build.image.clearing import (
    cannot_be_written,
    remove_leftovers,
    remove_others,
    told_of,
)
from occlum_build.image.content import copy_content, same_content
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.image.planned import Planned, Sources

# From so many entries or bytes on, other processes help to write them.
MANY = 256
MANY_BYTES = 64 << 20


@dataclass
class Written:
    """What a write did: counts of entries and of bytes."""

    written: int = 0
    unchanged: int = 0
    removed: int = 0
    bytes: int = 0


class ImageWriter:
    """Brings the directory `root` to the plan, with the files that `sources` have looked at."""

    def __init__(self, root: str, sources: Sources) -> None:
        self.root = os.path.realpath(root)
        self.result = Written()
        self._sources = sources
        self._directories: dict[str, tuple[int, int]] = {}  # path -> device and inode
        self._made: set[str] = set()  # directories that were not there

    def write(
        self,
        plan: Planned,
        *,
        sync: bool = False,
        progress: Callable[[Entry], None] | None = None,
        finished: Callable[[Written], None] | None = None,
    ) -> Written:
        """Write the entries; raises OcclumError when the image or a source cannot be used.

        With `sync` all that the plan does not name, or that has another type, is deleted first.
        `finished` is called while no other run can write to the image.
        """
        try:
            make_directories(self.root)
            with DirectoryHandles(self.root) as image, DirectoryHandles("/", PASS_DIR) as host:
                self._image, self._host = image, host
                _lock(image.at(""), self.root)
                self._note_directory("")
                if sync:
                    kinds = {entry.path: entry.kind for entry in plan.entries}
                    self.result.removed += remove_others(image, kinds)
                self._write(plan, progress)
                if finished:
                    finished(self.result)
        except OSError as error:
            raise cannot_be_written(error.filename or self.root, error) from None
        return self.result

    def _write(self, plan: Planned, progress: Callable[[Entry], None] | None) -> None:
        directories = [entry for entry in plan.entries if entry.kind == DIR]
        others = [entry for entry in plan.entries if entry.kind != DIR]
        for entry in directories:
            with told_of(self._image, entry.path):
                self._make_dir(entry)
        remove_leftovers(self._image, {entry.path for entry in others}, self._made)
        if len(others) < MANY and sum(entry.size for entry in others) < MANY_BYTES:
            self._write_entries(others, progress)
        else:
            self._share(others, progress)
        for entry in reversed(directories):
            with told_of(self._image, entry.path):
                self._finish_dir(entry)
        self._require_in_place("")

    def _write_entries(
        self, entries: Iterable[Entry], progress: Callable[[Entry], None] | None = None
    ) -> None:
        for entry in entries:
            if progress:
                progress(entry)
            try:
                if entry.kind == SYMLINK:
                    self._write_link(entry)
                elif entry.kind == FILE:
                    self._write_file(entry)
            except OSError as error:
                raise cannot_be_written(self._image.path(entry.path), error) from None

    def _share(self, entries: Sequence[Entry], progress: Callable[[Entry], None] | None) -> None:
        """Write many entries in several processes; who writes what is all the same."""
        from occlum_build.files.shared_work import parts_of, share_work  # which few runs need

        told, mine, before = 0, os.getpid(), self.result
        was_begun = False

        def tell(end: int) -> None:  # also of what others write
            nonlocal told
            if progress:
                for entry in entries[told:end]:
                    progress(entry)
            told = max(told, end)

        def write(part: range) -> tuple[int, int, int]:
            if os.getpid() == mine:
                tell(part.stop)
            self.result = Written()
            self._write_entries(entries[part.start : part.stop])
            return self.result.written, self.result.unchanged, self.result.bytes

        def write_again(part: range) -> tuple[int, int, int]:
            nonlocal was_begun
            was_begun = True
            return write(part)

        found = share_work(parts_of(entry.size for entry in entries), write, write_again)
        if was_begun:  # a process may have been killed before it removed what it was writing
            remove_leftovers(self._image, {entry.path for entry in entries}, ())
        self.result = before
        for written, unchanged, size in found:
            self.result.written += written
            self.result.unchanged += unchanged
            self.result.bytes += size
        tell(len(entries))

    def _make_dir(self, entry: Entry) -> None:
        """Make a directory, or see to it that its owner can write in it until it is finished."""
        if entry.path:
            here, name = self._image.beside(entry.path)
            try:
                os.mkdir(name, 0o700 | entry.mode, dir_fd=here)
                self._made.add(entry.path)
                self.result.written += 1
            except FileExistsError:
                os.close(open_to_owner(here, name))
        self._note_directory(entry.path)

    def _note_directory(self, path: str) -> None:
        found = os.fstat(self._image.at(path))
        self._directories[path] = found.st_dev, found.st_ino

    def _finish_dir(self, entry: Entry) -> None:
        """Give a directory its mode and time last, as writing below it changes the time."""
        self._require_in_place(entry.path)
        here = self._image.at(entry.path)
        found = os.fstat(here)
        if not entry.source:
            if entry.path and stat.S_IMODE(found.st_mode) != entry.mode:
                os.fchmod(here, entry.mode)
            return
        source = self._source_dir(entry.source)
        if stat.S_IMODE(found.st_mode) != entry.mode:
            os.fchmod(here, entry.mode)
        if found.st_mtime_ns != source.st_mtime_ns:
            os.utime(here, ns=(source.st_atime_ns, source.st_mtime_ns))

    def _require_in_place(self, path: str) -> None:
        """Is a directory that was written to still where it was?"""
        here, name = self._image.beside(path)
        found = os.lstat(name, dir_fd=here) if name else os.lstat(self.root)
        if (found.st_dev, found.st_ino) != self._directories[path]:
            raise OcclumError(
                "write",
                f"{self._image.path(path)} cannot be written: something else took its place",
                hint="leave the image alone while it is written, then run it again",
            )

    def _source_dir(self, source: str) -> os.stat_result:
        path = self._sources.os_path(source)
        try:
            return os.fstat(self._host.at(path.strip("/")))
        except OSError as error:
            raise OcclumError("file", f"{path} cannot be read: {error.strerror}") from None

    def _write_link(self, entry: Entry) -> None:
        here, name = self._image.beside(entry.path)
        with suppress(OSError):
            if os.readlink(name, dir_fd=here) == entry.target:
                self.result.unchanged += 1
                return
        self._replace(here, name, lambda made: os.symlink(entry.target, made, dir_fd=here))

    def _write_file(self, entry: Entry) -> None:
        directory, _, name = entry.path.rpartition("/")
        with self._open(entry.source) as source:
            here = self._image.at(directory)
            is_new = directory in self._made
            if not is_new and self._is_up_to_date(here, name, source, entry):
                self.result.unchanged += 1
                return
            self._replace(here, name, lambda made: self._make_file(entry, source, here, made))
            self.result.bytes += source.size

    def _make_file(self, entry: Entry, source: SourceFile, here: int, name: str) -> None:
        out = os.open(name, CREATE, 0o600, dir_fd=here)
        try:
            self._copy(source, out, entry)
            os.fchmod(out, entry.mode)
            os.utime(out, ns=(source.status.st_atime_ns, source.status.st_mtime_ns))
        finally:
            os.close(out)

    def _open(self, source: str) -> SourceFile:
        """A source as it was planned."""
        path = self._sources.os_path(source)
        try:
            here, name = self._host.beside(path.lstrip("/"))
            planned = self._sources.identity(source)
            return open_source(name, directory=here, shown=path, planned=planned)
        except OSError as error:
            raise OcclumError("file", f"{path} cannot be read: {error.strerror}") from None

    def _is_up_to_date(self, here: int, name: str, source: SourceFile, entry: Entry) -> bool:
        """Has the image the file already? If so, with the mode and time that it is to have."""
        try:
            # Non-blocking, as it may be a fifo.
            existing = os.open(name, SOURCE_FLAGS, dir_fd=here)
        except OSError:
            return False
        try:
            found = os.fstat(existing)
            if not stat.S_ISREG(found.st_mode) or found.st_size != source.size:
                return False
            if os.path.samestat(found, source.status):
                return False  # a hard link to the source would change with it
            if not same_content(existing, source):
                return False
            self._check_copied(entry, source, "")
            if stat.S_IMODE(found.st_mode) != entry.mode:
                os.fchmod(existing, entry.mode)
            if found.st_mtime_ns != source.status.st_mtime_ns:
                os.utime(existing, ns=(source.status.st_atime_ns, source.status.st_mtime_ns))
        finally:
            os.close(existing)
        return True

    def _copy(self, source: SourceFile, out: int, entry: Entry) -> None:
        """Copy a source that stays as it is meanwhile, hashed where its hash is known."""
        is_hashed = bool(self._sources.known_sha256(entry.source))
        self._check_copied(entry, source, copy_content(source, out, is_hashed=is_hashed))

    def _check_copied(self, entry: Entry, source: SourceFile, copied: str) -> None:
        """Is what was read what was planned? `copied`: its SHA-256, "" where it is to be read."""
        wanted = self._sources.known_sha256(entry.source)
        if wanted and (copied or source.sha256()) != wanted:
            raise source.changed()
        source.check_unchanged()

    def _replace(self, here: int, name: str, make: Callable[[str], None]) -> None:
        """Let what is made under a temporary name take the place of another, if nothing fails."""
        temporary = f"{PREFIX}{os.urandom(8).hex()}"
        try:
            make(temporary)
            os.replace(temporary, name, src_dir_fd=here, dst_dir_fd=here)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=here)
            raise
        self.result.written += 1


def _lock(directory: int, path: str) -> None:
    """Keep a second run out of the directory; where the file system has no locks, it cannot."""
    with suppress(OSError):
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OcclumError("write", f"another run is writing to {path}") from None
