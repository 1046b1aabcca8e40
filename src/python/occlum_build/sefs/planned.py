"""The tree of an image by its manifest alone, numbered as a tree on a disk is (section 4.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from occlum_build.errors import OcclumError
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
from occlum_build.sefs.tree import Tree, TreeEntry
from occlum_build.shown import quoted


def numbered(paths: Iterable[str]) -> dict[str, int]:
    """The inode number of each path ("a/b", without the root), in their order.

    All paths of the image must be given.
    """
    numbers = inode_numbers()
    next(numbers)  # of the root
    return {path: next(numbers) for path in sorted(paths, key=_order)}


def planned_tree(entries: Iterable[Mapping[str, Any]]) -> Tree:
    """The tree of the entries of a manifest; nothing is read.

    Raises OcclumError as `scan_tree` does, and `sefs-manifest` for what is no tree.
    """
    by_path = {entry["path"].strip("/"): entry for entry in entries}
    by_path.pop("", None)
    tree = Tree(b"")
    tree.entries.append(TreeEntry(ROOT_INODE, ROOT_INODE, b"", FileType.DIR, ROOT_MODE))
    tree.children[ROOT_INODE] = []
    directories = {b"": ROOT_INODE}
    for text, number in numbered(by_path).items():
        entry, path = by_path[text], text.encode("utf-8", "surrogatepass")
        if len(path) > PATH_BYTES:
            raise OcclumError("sefs-io", f"{quoted(path)}: {TOO_LONG}")
        folder, _, name = path.rpartition(b"/")
        if folder not in directories:
            message = f"the manifest has {quoted(path)}, but not its directory"
            raise OcclumError("sefs-manifest", message)
        check_name(name)
        parent, kind = directories[folder], FileType[entry["type"].upper()]
        mode = PERMISSION_BITS if kind is FileType.SYMLINK else int(entry["mode"], 8)
        tree.entries.append(TreeEntry(number, parent, path, kind, mode & PERMISSION_BITS))
        tree.children[parent].append(Dirent(number, name, kind))
        if kind is FileType.DIR:
            directories[path] = number
            tree.children[number] = []
    for path, number in directories.items():
        if tree.subdirectories(number) > MAX_SUBDIRECTORIES:
            message = f"{quoted(b'/' + path)} has more than {MAX_SUBDIRECTORIES} subdirectories"
            raise OcclumError("sefs-subdirectories", message)
    return tree


def _order(path: str) -> bytes:
    """Depth first, siblings by the bytes of their names, in which there is no zero."""
    return path.encode("utf-8", "surrogatepass").replace(b"/", b"\0")
