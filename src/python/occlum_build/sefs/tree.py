"""The source tree of an image: its entries in the order of their inode numbers (section 4.5)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from occlum_build.errors import WARNING, OcclumError, Problem
from occlum_build.files.handles import DirectoryHandles
from occlum_build.files.source import Identity, identity_of
from occlum_build.files.trees import PATH_BYTES, TOO_LONG
from occlum_build.sefs.fs_format import (
    MAX_SUBDIRECTORIES,
    PERMISSION_BITS,
    ROOT_INODE,
    ROOT_MODE,
    Dirent,
    FileType,
    check_name,
    inode_numbers,
)
from occlum_build.sefs.hostio import os_errors, place_of
from occlum_build.sefs.modes import lost_modes
from occlum_build.shown import quoted

_TYPES = {
    stat.S_IFREG: FileType.FILE,
    stat.S_IFDIR: FileType.DIR,
    stat.S_IFLNK: FileType.SYMLINK,
}


@dataclass(frozen=True)
class TreeEntry:
    """One entry: `path` is relative to the tree ("" = its root), `mode` the permission bits."""

    inode: int
    parent: int
    path: bytes
    type: FileType
    mode: int


@dataclass
class Tree:
    """A scanned tree; `children` has the entries of each directory by its inode number.

    `seen` has what the files and symlinks were, by path.
    """

    root: bytes
    entries: list[TreeEntry] = field(default_factory=list)
    children: dict[int, list[Dirent]] = field(default_factory=dict)
    warnings: list[Problem] = field(default_factory=list)
    seen: dict[bytes, Identity] = field(default_factory=dict)

    def host_path(self, entry: TreeEntry) -> bytes:
        return os.path.join(self.root, entry.path) if entry.path else self.root

    def subdirectories(self, inode: int) -> int:
        """How many directories the directory `inode` holds."""
        return sum(child.type == FileType.DIR for child in self.children[inode])


def scan_tree(root: Path, modes: Mapping[str, int] | None = None) -> Tree:
    """All entries below `root`, depth first, siblings in the order of the bytes of their names.

    `modes` gives the mode of each file and directory by its path ("a/b") instead of lstat. Fifos,
    sockets and devices, which are left out, and mode bits that are lost are named in `warnings`.
    Raises OcclumError: `sefs-name` (not
    UTF-8), `sefs-subdirectories` (more than 65533 in one directory), `sefs-manifest` (a path
    without a mode, or a mode without its path), `sefs-io`.
    """
    tree = Tree(os.fsencode(root))
    numbers = inode_numbers()
    tree.entries.append(TreeEntry(next(numbers), ROOT_INODE, b"", FileType.DIR, ROOT_MODE))
    tree.children[ROOT_INODE] = []
    modes_there: list[tuple[str, str, int]] = []
    with os_errors(root):
        directories = DirectoryHandles(os.path.realpath(root))
    with directories:
        _scan(tree, directories, numbers, modes, modes_there)
    if modes is not None:
        _check_all_used(tree, modes)
    tree.warnings += lost_modes(modes_there)
    return tree


def _scan(
    tree: Tree,
    directories: DirectoryHandles,
    numbers: Iterator[int],
    modes: Mapping[str, int] | None,
    modes_there: list[tuple[str, str, int]],
) -> None:
    pending = _list_directory(tree, directories, b"", ROOT_INODE)
    while pending:
        parent, name, path, st_mode = pending.pop()
        file_type = _TYPES[stat.S_IFMT(st_mode)]
        number = next(numbers)
        mode = _mode(path, file_type, st_mode, modes)
        entry = TreeEntry(number, parent, path, file_type, mode)
        tree.entries.append(entry)
        text = path.decode("utf-8")
        modes_there.append((text, file_type.name.lower(), st_mode | (modes or {}).get(text, 0)))
        tree.children[parent].append(Dirent(number, name, file_type))
        if file_type is FileType.DIR:
            tree.children[number] = []
            pending += _list_directory(tree, directories, path, number)


def _list_directory(
    tree: Tree, directories: DirectoryHandles, path: bytes, inode: int
) -> list[tuple[int, bytes, bytes, int]]:
    """Entries, the last name first: (inode of the directory, name, path, st_mode)."""
    found = []
    host_path = os.path.join(tree.root, path) if path else tree.root
    with os_errors(host_path), os.scandir(directories.at(os.fsdecode(path))) as entries:
        for item in sorted(entries, key=lambda item: os.fsencode(item.name), reverse=True):
            name = os.fsencode(item.name)
            status = item.stat(follow_symlinks=False)
            st_mode = status.st_mode
            if stat.S_IFMT(st_mode) not in _TYPES:
                message = "left out: neither a file nor a directory nor a symlink"
                tree.warnings.append(
                    Problem(
                        "sefs-special-file",
                        message,
                        place_of(os.path.join(host_path, name)),
                        severity=WARNING,
                    )
                )
                continue
            _check_source_name(host_path, name)
            below = path + b"/" + name if path else name
            if len(below) > PATH_BYTES:  # no reader of ours would take it
                raise OcclumError("sefs-io", TOO_LONG, place=place_of(tree.root))
            if not stat.S_ISDIR(st_mode):
                tree.seen[below] = identity_of(status)
            found.append((inode, name, below, st_mode))
    if sum(stat.S_ISDIR(st_mode) for *_, st_mode in found) > MAX_SUBDIRECTORIES:
        message = f"has more than {MAX_SUBDIRECTORIES} subdirectories"
        raise OcclumError("sefs-subdirectories", message, place=place_of(host_path))
    return found


def _check_source_name(directory: bytes, name: bytes) -> None:
    try:
        check_name(name)
    except OcclumError as error:
        problem = error.problems[0]
        place = place_of(os.path.join(directory, name))
        raise OcclumError(problem.code, problem.message, place=place, hint=problem.hint) from None


def _mode(path: bytes, file_type: FileType, st_mode: int, modes: Mapping[str, int] | None) -> int:
    if file_type is FileType.SYMLINK:
        return PERMISSION_BITS
    if modes is None:
        return st_mode & PERMISSION_BITS
    try:
        return modes[path.decode("utf-8", "surrogateescape")] & PERMISSION_BITS
    except KeyError:
        message = f"the manifest has no mode for {quoted(path)}, which is in the tree"
        raise OcclumError("sefs-manifest", message) from None


def _check_all_used(tree: Tree, modes: Mapping[str, int]) -> None:
    missing = set(modes) - {entry.path.decode("utf-8") for entry in tree.entries}
    if missing:
        texts = [f"the manifest has {quoted(p)}, which is not in the tree" for p in sorted(missing)]
        raise OcclumError.of([Problem("sefs-manifest", text) for text in texts])
