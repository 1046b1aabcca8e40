"""The entries of a tree of files, as tuples, because a tree has 50,000."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from occlum_build.sources.model import DIR, FILE, SYMLINK

DEFAULT_DIR_MODE = 0o755


class TreeEntry(NamedTuple):
    """One entry of a tree.

    path: relative to the tree, in normal form. kind: FILE, DIR or SYMLINK of
    occlum_build.sources.model. mode: permission bits, setuid and the like included. size in bytes
    and sha256 (lower-case hex) of a file, target of a symlink.
    """

    path: str
    kind: str
    mode: int
    sha256: str = ""
    size: int = 0
    target: str = ""


Wanted = dict[bytes, TreeEntry]  # what is wanted in a directory, by name


def children_of(entries: Iterable[TreeEntry]) -> dict[str, Wanted]:
    """Directory -> name -> entry. Directories that are implied by others' paths get mode 0755.

    Raises ValueError for a path that is not in normal form or leaves the tree, or comes twice.
    """
    children: dict[str, Wanted] = {"": {}}
    for entry in entries:
        folder, name = _split(entry.path)
        if entry.kind not in (FILE, DIR, SYMLINK):
            raise ValueError(f"{entry.path!r} is a {entry.kind}, which a tree cannot hold")
        wanted = children.get(folder)
        if wanted is None:
            wanted = children.setdefault(folder, {})
        if wanted.setdefault(name, entry) is not entry:
            raise ValueError(f"two entries for {entry.path!r}")
        if entry.kind == DIR:
            children.setdefault(entry.path, {})
    for path in list(children):
        while path:
            folder, name = _split(path)
            above = children.setdefault(folder, {})
            entry = above.setdefault(name, TreeEntry(path, DIR, DEFAULT_DIR_MODE))
            if entry.kind != DIR:
                raise ValueError(f"{path!r} is a {entry.kind} and has entries below it")
            path = folder
    return {folder: dict(sorted(wanted.items())) for folder, wanted in children.items()}


def with_parents_of(tree: Iterable[TreeEntry]) -> dict[str, TreeEntry]:
    """The entries by path, with the directories that are only implied by others' paths."""
    by_path = {entry.path: entry for entry in tree}
    for path in list(by_path):
        parent = posixpath.dirname(path)
        while parent and parent not in by_path:
            by_path[parent] = TreeEntry(parent, DIR, DEFAULT_DIR_MODE)
            parent = posixpath.dirname(parent)
    return by_path


def _split(path: str) -> tuple[str, bytes]:
    """The directory of a path, whose own form is not looked at, and the name as on disk."""
    folder, separator, name = path.rpartition("/")
    if name in ("", ".", "..") or (separator and not folder):
        raise ValueError(f"not a path within a tree: {path!r}")
    return folder, name.encode("utf-8")
