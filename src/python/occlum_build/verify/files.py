"""The files of an instance that somebody gave: listed once, and read without following a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import shown_bytes
from occlum_build.files.handles import DirectoryHandles
from occlum_build.files.reading import READ_FLAGS, read_descriptor
from occlum_build.files.tar_reader import MAX_MEMBERS
from occlum_build.files.trees import walk
from occlum_build.sources.model import DIR, FILE, OTHER, SYMLINK

CODE = "verify"
# What is below these is a part of an instance; what else stands beside them is not looked into.
FOLDERS = ("build", "image", "initfs", "run")


@dataclass(frozen=True)
class Found:
    """What stands at a path: its kind, and of a link where it leads to."""

    kind: str
    target: str = ""


@dataclass(frozen=True)
class Files:
    """`listed`: all of an instance by path, of which the files are below `root`.

    Links are told, and never followed. `is_whole`: it is an instance as a build leaves it, and not
    what `occlum package` takes of it.
    """

    root: Path
    listed: Mapping[str, Found]

    @property
    def is_whole(self) -> bool:
        return any(path in self.listed for path in BUILD_ONLY)

    def kind(self, path: str) -> str:
        """The kind of what is at a path, "" where nothing is."""
        return self.listed[path].kind if path in self.listed else ""

    def below(self, folder: str) -> Iterator[str]:
        """The paths of all that a directory of the instance holds, sorted, relative to it."""
        start = f"{folder}/"
        return (path[len(start) :] for path in sorted(self.listed) if path.startswith(start))

    def read(self, path: str, limit: int) -> bytes:
        """The content of a file; OcclumError `verify` where there is none, or it is larger."""
        kind = self.kind(path)
        if kind != FILE:
            raise OcclumError(CODE, f"is {kind}, not a file" if kind else "is missing")
        with self.folders() as folders:
            return _read(folders, path, limit)

    def folders(self) -> DirectoryHandles:
        """Handles of the directories, for `read_start`."""
        return DirectoryHandles(os.path.realpath(self.root))

    def size(self, path: str) -> int:
        """The bytes of a file; OcclumError `verify`."""
        try:
            return self.path(path).lstat().st_size
        except OSError as error:
            raise OcclumError(CODE, f"cannot be read: {error.strerror}") from error

    def path(self, path: str) -> Path:
        return self.root / path


BUILD_ONLY = ("build/Enclave.xml", "build/.Occlum_sys.json", "build/image_config.json")


def read_start(folders: DirectoryHandles, path: str, count: int) -> bytes:
    """The first bytes of a file, fewer where it has no more; OcclumError `verify`."""
    with _opened(folders, path) as descriptor:
        return os.read(descriptor, count)


def _read(folders: DirectoryHandles, path: str, limit: int) -> bytes:
    with _opened(folders, path) as descriptor:
        return read_descriptor(descriptor, path, limit, code=CODE)


@contextmanager
def _opened(folders: DirectoryHandles, path: str) -> Iterator[int]:
    try:
        parent, name = folders.beside(path)
        descriptor = os.open(name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OcclumError(CODE, f"cannot be read: {error.strerror}") from error


def files_of_directory(instance: Path) -> Files:
    """The files of an instance that is a directory. OcclumError `verify` where it is none."""
    listed: dict[str, Found] = {}
    try:
        with os.scandir(instance) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            listed[entry.name] = _found(entry)
            if entry.name not in FOLDERS or not entry.is_dir(follow_symlinks=False):
                continue
            for path, below in walk(entry.path):
                listed[f"{entry.name}/{path}"] = _found(below)
                if len(listed) > MAX_MEMBERS:
                    raise too_many(instance)
    except OSError as error:
        message = error.strerror or "cannot be read"
        raise OcclumError(CODE, message, place=Place(str(instance))) from error
    return Files(instance, listed)


def too_many(where: Path) -> OcclumError:
    message = f"it holds more than {MAX_MEMBERS:,} files, directories and links"
    return OcclumError(CODE, message, place=Place(str(where)))


def too_large(where: Path, limit: int) -> OcclumError:
    message = f"what it holds has more than {shown_bytes(limit)}"
    return OcclumError(CODE, message, place=Place(str(where)))


def _found(entry: os.DirEntry[str]) -> Found:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISLNK(mode):
        return Found(SYMLINK, os.readlink(entry.path))
    if stat.S_ISDIR(mode):
        return Found(DIR)
    return Found(FILE if stat.S_ISREG(mode) else OTHER)
