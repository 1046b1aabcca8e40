"""A look at the files of the host below a root: at the asked paths and in the asked trees."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, cast

from occlum_build.sources import DIR, FIFO, FILE, OTHER, SYMLINK, Sources, SourceStat, resolve
from pants_occlum.util_rules.hash_memo import FileHash, HashMemo

ABSENT = "absent"
HASH_THREADS = 2


class SysrootEntry(NamedTuple):
    """What stands at one path. A tuple, because a snapshot has 50,000 and they are compared.

    kind: FILE, DIR, SYMLINK, FIFO, OTHER of occlum_build.sources, or ABSENT. mode: permission bits.
    size (bytes), sha256 (lower-case hex) and is_elf are those of a regular file; the last two only
    when it was asked to be hashed. error: why the entry could not be read, else "".
    """

    kind: str
    mode: int = 0
    size: int = 0
    sha256: str = ""
    target: str = ""
    is_elf: bool = False
    error: str = ""


class SysrootWalk:
    """Collects entries below one root; links are followed as if the root were `/`."""

    def __init__(self, root: str) -> None:
        self._root = "" if root == "/" else root
        self.entries: dict[str, SysrootEntry] = {}
        self.names: dict[str, tuple[str, ...]] = {}
        self.undecodable: set[str] = set()
        self._aliases: dict[str, str] = {}
        self._files: dict[str, os.stat_result] = {}

    def probe(self, path: str) -> str | None:
        """Record a path, each component on the way and what its links lead to; give that last."""
        self.entries["/"] = self._stat("/")
        sources = cast(Sources, self)  # resolve() needs no more than expect and lstat
        itself = resolve(sources, path, follow_last=False)
        if itself is None:
            self.entries[path] = SysrootEntry(ABSENT)
        else:
            self._aliases[path] = itself
            self.entries[path] = self.entries[itself]
        return resolve(sources, path)

    def walk(self, top: str) -> None:
        """Record a directory, to which `top` may be a link, and all below it."""
        pending = self._real_dir(top)
        while pending:
            path = pending.pop()
            self._list(path)
            for name in self.names[path]:
                child = posixpath.join(path, name)
                if self.entries[child].kind == DIR and child not in self.names:
                    pending.append(child)

    def list_dir(self, top: str) -> None:
        """Record a directory, to which `top` may be a link, and the entries in it; after walk()."""
        for path in self._real_dir(top):
            self._list(path)

    def expect(self, path: str, *, tree: bool = False) -> None:
        """Nothing to prepare: each path is looked at as it is asked for."""

    def lstat(self, path: str) -> SourceStat | None:
        """The entry at a path whose parents are real directories."""
        entry = self._recorded(path)
        if entry.kind == ABSENT:
            return None
        return SourceStat(entry.kind, entry.mode, entry.size, entry.target)

    def hash(self, paths: Iterable[str], memo: HashMemo) -> None:
        """Fill in the content of those paths that are regular files."""
        unread = []
        for path in sorted({path for path in paths if path in self._files}):
            known = memo.known(self._root + path, self._files[path])
            if known is None:
                unread.append(path)
            else:
                self.entries[path] = _hashed_entry(known)
        with ThreadPoolExecutor(HASH_THREADS) as pool:
            self.entries.update(zip(unread, pool.map(lambda path: self._read(path, memo), unread)))
        self.entries.update({path: self.entries[real] for path, real in self._aliases.items()})

    def _host_path(self, path: str) -> bytes:
        """The path as the system calls take it, independent of the locale."""
        return (self._root + path).encode("utf-8", "surrogateescape")

    def _read(self, path: str, memo: HashMemo) -> SysrootEntry:
        try:
            return _hashed_entry(memo.read(self._root + path))
        except OSError as error:
            return self.entries[path]._replace(error=_reason(error))

    def _recorded(self, path: str) -> SysrootEntry:
        entry = self.entries.get(path)
        if entry is None:
            entry = self.entries[path] = self._stat(path)
        return entry

    def _stat(self, path: str) -> SysrootEntry:
        host_path = self._host_path(path)
        try:
            found = os.lstat(host_path)
            mode = stat.S_IMODE(found.st_mode)
            if stat.S_ISREG(found.st_mode):
                self._files[path] = found
                return SysrootEntry(FILE, mode, found.st_size)
            if stat.S_ISDIR(found.st_mode):
                return SysrootEntry(DIR, mode)
            if stat.S_ISLNK(found.st_mode):
                return self._link(path, mode, os.readlink(host_path))
        except OSError as error:
            absent = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
            return SysrootEntry(ABSENT) if absent else SysrootEntry(OTHER, error=_reason(error))
        return SysrootEntry(FIFO if stat.S_ISFIFO(found.st_mode) else OTHER, mode)

    def _link(self, path: str, mode: int, target: bytes) -> SysrootEntry:
        try:
            return SysrootEntry(SYMLINK, mode, target=target.decode("utf-8"))
        except UnicodeDecodeError:
            self.undecodable.add(repr(target))
            return SysrootEntry(OTHER, mode, error=f"the link's target {target!r} is not UTF-8")

    def _real_dir(self, top: str) -> list[str]:
        real = self.probe(top)
        if real is None or real in self.names or self.entries[real].kind != DIR:
            return []
        return [real]

    def _list(self, path: str) -> None:
        self.names[path] = tuple(self._names(path))
        for name in self.names[path]:
            self._recorded(posixpath.join(path, name))

    def _names(self, path: str) -> Sequence[str]:
        names = []
        try:
            listed = os.listdir(self._host_path(path))
        except OSError as error:
            self.entries[path] = self.entries[path]._replace(error=_reason(error))
            return ()
        for name in listed:
            try:
                names.append(name.decode("utf-8"))
            except UnicodeDecodeError:
                self.undecodable.add(repr(posixpath.join(path.encode("utf-8"), name)))
        return sorted(names)


def _hashed_entry(found: FileHash) -> SysrootEntry:
    return SysrootEntry(FILE, found.mode, found.size, found.sha256, is_elf=found.is_elf)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
