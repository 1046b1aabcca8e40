"""Bring a tree of files into dist, with its true modes, writing only what differs.

Pants' own writer rewrites every file on each run and knows no modes. To be used from a rule that
is not memoised and whose own request stays the same from run to run, for example

    @_uncacheable_rule
    async def package_image(field_set: ImageFieldSet, places: DistPlaces) -> BuiltPackage:
        image = await Get(Image, ImageRequest(field_set.address))   # memoised
        await sync_tree(places, "path/image", image.entries)

Such a rule runs in each session, so that a tree that was deleted comes back. A sync that were a
rule of its own with the entries in its request would be run again with those of the last session
before the caller is found to have changed. The `package` goal clears the relpath of each artefact
of a BuiltPackage after its rule has run: it must not be a directory above the tree.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pants.base.build_root import BuildRoot
from pants.core.util_rules import distdir
from pants.core.util_rules.distdir import DistDir
from pants.engine.fs import CreateDigest, Digest, DigestContents, FileDigest, FileEntry
from pants.engine.rules import Get, Rule, collect_rules, rule
from pants.option.global_options import GlobalOptions

from pants_occlum.util_rules.dist_index import load_index, save_index, tree_lock
from pants_occlum.util_rules.dist_tree import TreeEntry, TreeWriter

BATCH_BYTES = 32 << 20


@dataclass(frozen=True)
class DistPlaces:
    """Absolute paths: dist, and where the index and lock of each tree in it are kept."""

    dist_dir: str
    state_dir: str


@dataclass(frozen=True)
class SyncedTree:
    """How many files were written, and how many entries that did not belong there were removed."""

    written: int
    removed: int


@rule
async def dist_places(
    build_root: BuildRoot, dist_dir: DistDir, global_options: GlobalOptions
) -> DistPlaces:
    state_dir = os.path.join(build_root.path, global_options.pants_workdir, "occlum", "dist")
    return DistPlaces(os.path.join(build_root.path, str(dist_dir.relpath)), state_dir)


async def sync_tree(places: DistPlaces, name: str, entries: Sequence[TreeEntry]) -> SyncedTree:
    """Make dist/<name> hold the entries, whose files are in Pants' store, and nothing else.

    The next run completes what an interrupted one left. Raises OcclumError when another target
    writes to the same tree, ValueError for entries that make no tree.
    """
    root = os.path.join(places.dist_dir, name)
    state = os.path.join(places.state_dir, hashlib.sha256(root.encode("utf-8")).hexdigest())
    lock = tree_lock(f"{state}.lock", root)
    owner = object()
    with lock.held_by(owner):
        with lock.turn_of(owner):
            index = load_index(f"{state}.json")
            writer = TreeWriter(root, entries, index)
        try:
            with lock.turn_of(owner):
                differing = writer.compare()
            for batch in _batches(differing):
                contents = await Get(
                    DigestContents, Digest, await Get(Digest, CreateDigest, _digest_of(batch))
                )
                with lock.turn_of(owner):
                    _put(writer, batch, contents)
        finally:
            if lock.is_held_by(owner):
                with lock.turn_of(owner):
                    writer.finish()
                    if writer.index != index:
                        save_index(f"{state}.json", writer.index)
    return SyncedTree(len(differing), writer.removed)


def _batches(entries: Iterable[TreeEntry]) -> Iterator[list[TreeEntry]]:
    """Groups of at most 32 MB, a larger file on its own; files of one content come together."""
    batch: list[TreeEntry] = []
    size = 0
    last = ""
    for entry in sorted(entries, key=lambda entry: (entry.sha256, entry.path)):
        new_bytes = 0 if entry.sha256 == last else entry.size
        if batch and size + new_bytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
            new_bytes = entry.size
        batch.append(entry)
        size += new_bytes
        last = entry.sha256
    if batch:
        yield batch


def _digest_of(batch: Iterable[TreeEntry]) -> CreateDigest:
    sizes = {entry.sha256: entry.size for entry in batch}
    return CreateDigest(
        FileEntry(sha256, FileDigest(sha256, size)) for sha256, size in sorted(sizes.items())
    )


def _put(writer: TreeWriter, batch: Iterable[TreeEntry], contents: DigestContents) -> None:
    by_sha256 = {file.path: file.content for file in contents}
    for entry in sorted(batch):
        writer.put(entry, by_sha256[entry.sha256])


def rules() -> Iterable[Rule]:
    return [*collect_rules(), *collect_rules(vars(distdir))]
