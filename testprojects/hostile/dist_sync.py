"""A sync of a tree in dist as one run makes it, without Pants, for who interrupts it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from occlum_build.sources.model import DIR, FILE, SYMLINK
from pants_occlum.dist import index as dist_index
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.tree import TreeWriter

# Two states of a tree: files that stay, change, come, go, and trade places with directories.
STATES: tuple[dict[str, bytes], ...] = (
    {"kept": b"kept", "changed": b"old", "gone/deep/file": b"gone", "b": b"file", "c/x": b"x"},
    {"kept": b"kept", "changed": b"new!", "come/deep/file": b"come", "b/x": b"x", "c": b"file"},
)


def tree(state: int) -> Sequence[TreeEntry]:
    """The entries of a state."""
    files = [
        TreeEntry(path, FILE, 0o644, hashlib.sha256(content).hexdigest(), len(content))
        for path, content in STATES[state].items()
    ]
    link = TreeEntry("link", SYMLINK, 0o777, target=f"target{state}")
    return [*files, link, TreeEntry("closed", DIR, 0o555)]


def sync(root: str, index_file: str, state: int) -> None:
    """Bring the tree into a state, with what an earlier run left in the index."""
    dist_index._loaded.clear()
    index = dist_index.load_index(index_file)
    writer = TreeWriter(root, tree(state), index)
    try:
        for entry in writer.compare():
            if not writer.put(entry, STATES[state][entry.path]):
                raise ValueError(entry.path)
    finally:
        writer.finish()
        dist_index.save_index(index_file, index)


def seen(root: Path) -> dict[str, bytes]:
    """The content or target of each file and link of a tree."""
    found = {}
    for path in root.rglob("*"):
        if path.is_symlink():
            found[path.relative_to(root).as_posix()] = os.fsencode(os.readlink(path))
        elif path.is_file():
            found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found
