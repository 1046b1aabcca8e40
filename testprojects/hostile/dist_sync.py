"""A sync of a tree in dist as one run makes it, without Pants, for who interrupts it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR, FILE, SYMLINK
from pants_occlum.dist import index as dist_index
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.tree import TreeWriter

# Two states of a tree: files that stay, change, come, go, and trade places with directories.
STATES: tuple[dict[str, bytes], ...] = (
    {
        **{
            "kept": b"kept",
            "changed": b"old",
            "gone/deep/file": b"gone",
            "b": b"file",
            "c/x": b"x",
        },
        **{"p/x": b"packed"},
    },
    {
        **{
            "kept": b"kept",
            "changed": b"new!",
            "come/deep/file": b"come",
            "b/x": b"x",
            "c": b"file",
        },
        **{"p/x": b"changed", "p/y": b"come", "p/new/a": b"first", "p/new/b": b"second"},
    },
)
# What is below it is a part of one file, beside the directory of the tree.
PACKED = "p/"


def tree(state: int) -> Sequence[TreeEntry]:
    """The entries of a state."""
    files = [
        TreeEntry(path, FILE, 0o644, hashlib.sha256(content).hexdigest(), len(content))
        for path, content in STATES[state].items()
    ]
    link = TreeEntry("link", SYMLINK, 0o777, target=f"target{state}")
    return [*files, link, TreeEntry("closed", DIR, 0o555)]


_CONTENTS = b"".join(content for state in STATES for content in state.values())


def pack_of(root: str) -> Path:
    return Path(root).parent.parent / "pack"


def write_pack(root: str) -> None:
    """To be called before the first sync."""
    pack_of(root).write_bytes(_CONTENTS)


def sync(root: str, index_file: str, state: int) -> None:
    """Bring the tree into a state, with what an earlier run left in the index."""
    dist_index._loaded.clear()
    index = dist_index.load_index(index_file)
    writer = TreeWriter(root, tree(state), index)
    contents = STATES[state]
    try:
        differing = writer.compare()
        parts = [one for one in differing if one.path.startswith(PACKED)]
        slices = [(entry, _CONTENTS.index(contents[entry.path])) for entry in parts]
        if writer.copy_slices(bytes(pack_of(root)), slices):
            raise OcclumError("dist", "the store is damaged")
        writer.place()
        for entry in differing:
            if entry not in parts and not writer.put(entry, contents[entry.path]):
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
