"""Small trees that we make ourselves: planned entries, and how they are written."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from occlum_build.bom.names import is_utf8
from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import CONFIG_BYTES, ENCLAVE_BYTES
from occlum_build.files.change import Change
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

    Modes do not depend on the umask. Raises OcclumError `tree`.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    try:
        root.mkdir(mode=0o755, exist_ok=True)
        for entry in ordered:
            with _named(root / entry.path):
                _write(entry, root / entry.path)
        for entry in reversed(ordered):
            if entry.kind == DIR:
                (root / entry.path).chmod(entry.mode)
    except OSError as error:
        message = error.strerror or "cannot be written"
        raise OcclumError("tree", message, place=Place(str(error.filename or root))) from error


def install(entries: Iterable[TreeEntry], root: Path) -> None:
    """Write entries into an existing directory as one change; what is there is replaced.

    Directories that are there are kept with what else is in them. Raises as `write` does.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    kept = [one for one in ordered if one.kind == DIR and (root / one.path).is_dir()]
    try:
        with Change() as change:
            for group in _new_things(ordered, {one.path for one in kept}):
                top = group[0].path
                if group[0].kind == DIR and os.path.lexists(root / top):
                    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(root / top))
                part = change.part(root / top)
                moved = [replace(one, path=part.name + one.path[len(top) :]) for one in group]
                write(moved, part.parent)
            with _modes_of(kept, root):
                change.commit()
    except OSError as error:
        message = error.strerror or "cannot be written"
        raise OcclumError("tree", message, place=Place(str(error.filename or root))) from error


def _new_things(ordered: list[TreeEntry], kept: set[str]) -> list[list[TreeEntry]]:
    """What is not kept: files and links, and directories with all that is below them."""
    groups: dict[str, list[TreeEntry]] = {}
    for entry in ordered:
        if entry.path in kept:
            continue
        top = above = entry.path
        while above := os.path.dirname(above):
            top = above if above in groups else top
        groups.setdefault(top, []).append(entry)
    return list(groups.values())


@contextmanager
def _modes_of(entries: list[TreeEntry], root: Path) -> Iterator[None]:
    """The modes that kept directories are to have, unless the body fails."""
    before: list[tuple[Path, int]] = []
    try:
        for entry in entries:
            path = root / entry.path
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode != entry.mode:
                before.append((path, mode))
                path.chmod(entry.mode)
        yield
    except BaseException:
        for path, mode in before:
            with suppress(OSError):
                path.chmod(mode)
        raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An error of a file that is open has no name."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _write(entry: TreeEntry, path: Path) -> None:
    if entry.kind == DIR:
        path.mkdir(mode=0o700, exist_ok=True)
        return
    if os.path.lexists(path):
        path.unlink()
    if entry.kind == SYMLINK:
        path.symlink_to(entry.target)
        return
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
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
    raise OcclumError(
        "tree", "is neither a file nor a directory nor a link", place=Place(str(source))
    )
