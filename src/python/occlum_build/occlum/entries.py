"""Small trees that we make ourselves: planned entries, and how they are written."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from occlum_build.bom.names import is_utf8
from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import CONFIG_BYTES, ENCLAVE_BYTES
from occlum_build.files.handles import CREATE, DirectoryHandles
from occlum_build.files.reading import too_large
from occlum_build.files.source import open_source
from occlum_build.files.trees import walk
from occlum_build.sources.model import DIR, FILE, SYMLINK

_RENAME = "a manifest has no other names: make it anew with one in UTF-8, or remove it"


@dataclass(frozen=True)
class TreeEntry:
    """One entry: a file has either a `source` on this machine or its `content`."""

    path: str
    kind: str
    mode: int = 0o755
    source: Path | None = None
    content: bytes = b""
    target: str = ""


def directory(path: str) -> TreeEntry:
    return TreeEntry(path, DIR)


def file_of(path: str, content: bytes, mode: int = 0o644) -> TreeEntry:
    return TreeEntry(path, FILE, mode, content=content)


def copy_of(path: str, source: Path, limit: int = ENCLAVE_BYTES) -> TreeEntry:
    """A copy of a host file, links followed; of its mode only the executable bit counts.

    Raises OcclumError `tree` for what is no regular file, or has more than `limit` bytes.
    """
    try:
        found = source.stat()
    except OSError as error:
        message = error.strerror or "cannot be read"
        raise OcclumError("tree", message, place=Place(str(source))) from error
    if not stat.S_ISREG(found.st_mode):
        raise OcclumError("tree", "is not a regular file", place=Place(str(source)))
    if found.st_size > limit:
        raise too_large(source, limit, "tree")
    executable = found.st_mode & stat.S_IXUSR
    real = Path(os.path.realpath(source))  # as what is written must be no link by then
    return TreeEntry(path, FILE, 0o755 if executable else 0o644, source=real)


def time_zone(path: str, source: Path) -> TreeEntry:
    """A copy of a time zone file."""
    return copy_of(path, source, CONFIG_BYTES)


def link(path: str, target: str) -> TreeEntry:
    return TreeEntry(path, SYMLINK, target=target)


def scan(root: Path) -> tuple[TreeEntry, ...]:
    """All files, directories and links below a directory, with their modes, sorted by path."""
    try:
        found = [_scanned(Path(entry.path), path) for path, entry in walk(root)]
    except OSError as error:
        message = error.strerror or "cannot be read"
        raise OcclumError("tree", message, place=Place(str(error.filename))) from error
    return tuple(sorted(found, key=lambda entry: entry.path))


def merged(*groups: Iterable[TreeEntry]) -> tuple[TreeEntry, ...]:
    """All entries sorted by path, of two at one path the later; missing parents are added."""
    by_path = {entry.path: entry for group in groups for entry in group}
    for path in list(by_path):
        parent = os.path.dirname(path)
        while parent and parent not in by_path:
            by_path[parent] = directory(parent)
            parent = os.path.dirname(parent)
    return tuple(by_path[path] for path in sorted(by_path))


def with_modes(entries: Iterable[TreeEntry], modes: Mapping[str, int]) -> tuple[TreeEntry, ...]:
    """The entries with the modes that a manifest has for their paths."""
    return tuple(
        replace(entry, mode=modes[entry.path]) if entry.path in modes else entry
        for entry in entries
    )


def write(entries: Iterable[TreeEntry], root: Path) -> None:
    """Write entries, parents first, into `root`, which is made; what is there is replaced.

    No link below `root` is followed. Modes do not depend on the umask. Raises OcclumError `tree`.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    try:
        root.mkdir(mode=0o755, exist_ok=True)
        with DirectoryHandles(str(root)) as below:
            for entry in ordered:
                with _named(below.path(entry.path)):
                    _write(entry, below)
            for entry in reversed(ordered):
                if entry.kind == DIR:
                    os.fchmod(below.at(entry.path), entry.mode)
    except OSError as error:
        message = error.strerror or "cannot be written"
        raise OcclumError("tree", message, place=Place(str(error.filename or root))) from error


@contextmanager
def _named(path: str) -> Iterator[None]:
    """An error of a file that is open has no name, and one below a handle half of it."""
    try:
        yield
    except OSError as error:
        if error.filename in (None, os.path.basename(path)):
            error.filename = path
        raise


def _write(entry: TreeEntry, below: DirectoryHandles) -> None:
    folder, name = below.beside(entry.path)
    if entry.kind == DIR:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
        below.at(entry.path)
        return
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    if entry.kind == SYMLINK:
        os.symlink(entry.target, name, dir_fd=folder)
        return
    with open(os.open(name, CREATE, 0o600, dir_fd=folder), "wb") as stream:
        if entry.source is None:
            stream.write(entry.content)
        else:
            with open_source(entry.source) as source:
                stream.writelines(source.chunks())
                source.check_unchanged()
        os.fchmod(stream.fileno(), entry.mode)


def _scanned(source: Path, path: str) -> TreeEntry:
    found = source.lstat()
    mode = stat.S_IMODE(found.st_mode) & 0o777
    if not is_utf8(source.name):
        raise OcclumError("tree", "the name is not UTF-8", place=Place(str(source)), hint=_RENAME)
    if stat.S_ISLNK(found.st_mode):
        target = os.readlink(source)
        if not is_utf8(target):
            message = "the target of the link is not UTF-8"
            raise OcclumError("tree", message, place=Place(str(source)), hint=_RENAME)
        return link(path, target)
    if stat.S_ISDIR(found.st_mode):
        return TreeEntry(path, DIR, mode)
    if stat.S_ISREG(found.st_mode):
        return TreeEntry(path, FILE, mode, source=source)
    message = "is neither a file nor a directory nor a link"
    raise OcclumError("tree", message, place=Place(str(source)), hint="remove it")
