"""What this process knows of a tree in dist from its last sync, and glances at that tree."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR
from pants_occlum.dist.entries import TreeEntry, Wanted, children_of
from pants_occlum.dist.index import DistIndex, index_in_memory
from pants_occlum.dist.path import real_path
from pants_occlum.dist.places import DistPlaces
from pants_occlum.sysroot.glance import MANY_FILES, Glance

_FEW = 1_000  # entries that are exchanged one by one


class Synced(NamedTuple):
    """A directory as a sync left it: what was wanted in it, and the fingerprint of its listing."""

    wanted: Wanted
    fingerprint: bytes


class TreeMemory:
    """What this process knows of a tree from its last sync."""

    def __init__(self) -> None:
        self.entries: Iterable[TreeEntry] | None = None
        self.wanted: dict[str, Wanted] = {}  # by directory
        self.directories: dict[str, list[str]] = {}  # those in each
        self.is_large = False
        self.synced: dict[str, Synced] = {}  # by directory
        self.glance = b""  # of the last comparison; what is synced was looked at after it

    def want(self, entries: Iterable[TreeEntry]) -> None:
        """Know what is wanted in each directory; ValueError for entries that make no tree."""
        if self.entries is entries:
            return
        wanted = self._exchanged(entries)
        if wanted is None:
            wanted = children_of(entries)
            self.directories = {
                path: [entry.path for entry in found.values() if entry.kind == DIR]
                for path, found in wanted.items()
            }
            self.is_large = sum(map(len, wanted.values())) >= MANY_FILES
        self.wanted = wanted
        self.entries = entries

    def _exchanged(self, entries: Iterable[TreeEntry]) -> dict[str, Wanted] | None:
        """What is wanted where the same paths and kinds are as before, and few entries differ."""
        before = self.entries
        if not (isinstance(before, tuple) and isinstance(entries, tuple)):
            return None
        if len(before) != len(entries):
            return None
        others = [(old, new) for old, new in zip(before, entries) if old is not new and old != new]
        if len(others) > _FEW or any(old[:2] != new[:2] for old, new in others):
            return None
        wanted = dict(self.wanted)
        for _, entry in others:
            folder, _, name = entry.path.rpartition("/")
            wanted[folder] = {**wanted[folder], name.encode("utf-8"): entry}
        return wanted


def glance_of(root: str, index: DistIndex | None) -> Glance | None:
    """A glance at a tree that was synced before, for its TreeWriter; None where it is not worth it.

    It has to be begun in the run that uses it.
    """
    memory = index.memory if index is not None else None
    is_large = isinstance(memory, TreeMemory) and memory.is_large
    return Glance([os.fsencode(root)]) if is_large else None


@contextmanager
def glance_at(places: DistPlaces, name: str) -> Iterator[Glance | None]:
    """Begin to look at dist/<name> in a process of its own, for a `sync_tree` in the same rule."""
    glance = None
    with suppress(OcclumError):  # sync_tree tells
        root = real_path(places.dist_dir, name)
        glance = glance_of(root, index_in_memory(f"{places.state_of(root)}.rows"))
    try:
        yield glance
    finally:
        if glance is not None:
            glance.close()
