"""Bring a tree of files into dist, with its true modes, writing only what differs.

Pants' own writer rewrites every file on each run and knows no modes. To be used from a rule that
is not memoised and whose own request stays the same from run to run, for example

    @_uncacheable_rule
    async def package_image(field_set: ImageFieldSet, places: DistPlaces) -> BuiltPackage:
        image = await make_image(ImageRequest(field_set.address), **implicitly())   # memoised
        await sync_tree(places, "path/image", image.entries)

Such a rule runs in each session, so that a tree that was deleted comes back. A sync that were a
rule of its own with the entries in its request would be run again with those of the last session
before the caller is found to have changed. The `package` goal clears the relpath of each artefact
of a BuiltPackage after its rule has run: it must not be a directory above the tree.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Callable

from pants.engine.fs import AddPrefix
from pants.engine.process import Process, ProcessCacheScope

from occlum_build.errors import OcclumError
from occlum_build.files.reading import read_file
from occlum_build.files.trees import clear, make_way
from occlum_build.shown import escaped
from pants_occlum.compat.by_name import implicitly
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    execute_process,
    get_digest_contents,
)
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.errors import NO_SPACE, dist_errors
from pants_occlum.dist.index import IndexRow, load_index, row_of, save_index, tree_lock
from pants_occlum.dist.maker import Maker, make_files
from pants_occlum.dist.originals import COPY_BYTES
from pants_occlum.dist.packed import Packed
from pants_occlum.dist.path import real_path
from pants_occlum.dist.pieces import Piece, batches, files_of, pieces_of
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.stored import damaged_store, stored_file
from pants_occlum.dist.tree import TreeWriter
from pants_occlum.logs import logger_of
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.sysroot.doubt import HostDoubt, look_again
from pants_occlum.sysroot.glance import Glance
from pants_occlum.sysroot.hash_memo import SETTLED_NS
from pants_occlum.sysroot.host import SysrootIngest, ingest
from pants_occlum.sysroot.listing import host_path
from pants_occlum.sysroot.walk import MUCH_BYTES

logger = logger_of(__name__)

BATCH_BYTES = 32 << 20
MOST_BYTES_IN_MEMORY = 64 << 20
STAGED_BYTES = 512 << 20
COPIED_IN_A_TURN = 1000
_STAGED = "files"
_FILE_MODE = 0o644

Turn = Callable[[], AbstractContextManager[None]]
# Tells which files of the host have some contents, given by SHA-256, maybe more than these.
HostCopies = Callable[[Collection[str]], SysrootIngest]


# Files as they were found, and what was found in them: of a large image that is 10 MB.
_synced_files: dict[str, tuple[IndexRow, bytes]] = {}


@dataclass(frozen=True)
class SyncedTree:
    """How many files were written, and how many entries that did not belong there were removed."""

    written: int
    removed: int


def sync_file(places: DistPlaces, name: str, content: bytes) -> None:
    """Make dist/<name> hold the content; it is not touched where it does.

    Raises OcclumError when that is not below dist or cannot be written.
    """
    path = real_path(places.dist_dir, name)
    with suppress(OcclumError, OSError):
        found = os.lstat(path)
        if _synced_files.get(path) == (row_of(found, ""), content):
            return
        is_ours = found.st_mode == stat.S_IFREG | _FILE_MODE
        if is_ours and read_file(path, len(content)) == content:
            if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > SETTLED_NS:
                _synced_files[path] = row_of(found, ""), content
            return
    state = places.state_of(path)
    # One name for all runs, so that none leaves a file of its own; hence the lock.
    temporary = f"{path}.occlum-new"
    with tree_lock(f"{state}.lock", path).held_by(object()), dist_errors(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        clear(temporary)
        make_way(path)
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                os.fchmod(file.fileno(), _FILE_MODE)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


async def sync_tree(
    places: DistPlaces,
    name: str,
    entries: Sequence[TreeEntry],
    host: HostCopies | None = None,
    packed: Packed | None = None,
    glance: Glance | None = None,
    maker: Maker | None = None,
) -> SyncedTree:
    """Make dist/<name> hold the entries, and nothing else; `glance` is one of `glance_at`.

    Files are copied from the host where `host` tells of one with the content, or made by `maker`,
    and the others are in Pants' store, maybe in packs. Each content is compared with its
    SHA-256. The next run completes what an interrupted one left. Raises OcclumError when that is
    not below dist or cannot be written, another target writes to the same tree, a file of the host
    has changed since it was looked at or the store is damaged, ValueError for entries that make no
    tree.
    """
    root = real_path(places.dist_dir, name)
    state = places.state_of(root)
    lock = tree_lock(f"{state}.lock", root)
    owner = object()
    turn = partial(lock.turn_of, owner)
    with lock.held_by(owner):
        with turn(), quiet_gc():
            index = load_index(f"{state}.rows")
            writer = TreeWriter(root, entries, index, glance)

        def finish() -> None:
            if lock.is_held_by(owner):
                with turn(), quiet_gc():
                    writer.finish()
                    if index.is_changed:
                        save_index(f"{state}.rows", index)

        try:
            with turn(), quiet_gc():
                missing = differing = writer.compare()
            size = sum(entry.size for entry in differing)
            if size > MUCH_BYTES:
                logger.info(
                    f"Write {len(differing):,} files to {places.shown(name)}, {size >> 20:,} MB"
                )
            if differing and host is not None:
                missing = await _copy_from_host(writer, differing, host, turn)
            if missing and maker is not None:
                missing = await make_files(writer, missing, maker, turn)
            with quiet_gc():
                pieces = pieces_of(missing, packed)
            if packed is not None and not places.executes_remotely:
                pieces = _write_from_store(writer, places, pieces, turn)
            stored_size = sum(piece.size for piece in pieces)
            if stored_size <= MOST_BYTES_IN_MEMORY or places.executes_remotely:
                damaged = []
                for batch in batches(pieces, BATCH_BYTES):
                    damaged += await _write(writer, batch, turn)
                pieces = damaged  # what rules have read stays in memory: the store may be mended
            if not places.executes_remotely:
                damaged = []
                for batch in batches(pieces, STAGED_BYTES):
                    damaged += await _write_by_process(writer, batch, f"{state}.staged", name, turn)
                pieces = damaged
            if pieces:
                raise damaged_store(places, (piece.sha256 for piece in pieces))
        except BaseException:
            with suppress(OcclumError):  # the first error is the one to tell
                finish()
            raise
        finish()
    return SyncedTree(len(differing), writer.removed)


async def _copy_from_host(
    writer: TreeWriter, entries: Sequence[TreeEntry], host_copies: HostCopies, turn: Turn
) -> list[TreeEntry]:
    """The entries that could not be copied; those whose content the host had are now stored."""
    with turn(), quiet_gc():
        host = host_copies({entry.sha256 for entry in entries})
    blobs = {blob.sha256: blob for blob in host.blobs}
    missing = []
    for start in range(0, len(entries), COPIED_IN_A_TURN):
        with turn():
            for entry in entries[start : start + COPIED_IN_A_TURN]:
                blob = blobs.get(entry.sha256)
                if blob is None or not writer.copy(entry, host_path(host.root, blob.path)):
                    missing.append(entry)
    changed = {entry.sha256: blobs[entry.sha256] for entry in missing if entry.sha256 in blobs}
    if changed:
        await look_again(HostDoubt(host.root, tuple(changed.values())), **implicitly())
        await ingest(SysrootIngest(host.root, tuple(changed.values())))
    return missing


async def _write(writer: TreeWriter, batch: Sequence[Piece], turn: Turn) -> list[Piece]:
    """What could not be written, as the store is damaged."""
    contents = await get_digest_contents(await create_digest(files_of(batch)))
    by_sha256 = {file.path: file.content for file in contents}
    with turn():
        return _unwritten(
            batch,
            lambda piece, entry, offset: writer.put(
                entry, by_sha256[piece.sha256][offset : offset + entry.size]
            ),
        )


async def _write_by_process(
    writer: TreeWriter, batch: Sequence[Piece], staged: str, name: str, turn: Turn
) -> list[Piece]:
    """Write files of which contents in memory would be too much, for Pants keeps those.

    A process that is not cached brings them out of the store. Gives what could not be written.
    """
    size = sum(piece.size for piece in batch)
    process = Process(
        ("/bin/cp", "-R", "--", _STAGED, staged),
        input_digest=await add_prefix(AddPrefix(await create_digest(files_of(batch)), _STAGED)),
        description=escaped(f"Write files of {name} ({size >> 20:,} MB)"),
        cache_scope=ProcessCacheScope.PER_SESSION,
    )
    try:
        with turn(), dist_errors(staged):
            clear(staged)
        result = await execute_process(process, **implicitly())
        if result.exit_code:
            message = f"files of {name} cannot be brought out of Pants' store: "
            message += result.stderr.decode("utf-8", "replace").strip()
            raise OcclumError("dist", message, hint=NO_SPACE)
        with turn():
            return _unwritten(
                batch,
                lambda piece, entry, offset: writer.copy(
                    entry, os.path.join(staged, piece.sha256).encode("utf-8"), offset
                ),
            )
    finally:
        with suppress(OSError):
            clear(staged)


def _write_from_store(
    writer: TreeWriter, places: DistPlaces, pieces: Sequence[Piece], turn: Turn
) -> list[Piece]:
    """Write small files that are parts of large ones, by several threads; what was not written.

    Large ones are files of the store, which need not be copied to be read.
    """

    def write(piece: Piece) -> Piece:
        small = [one for one in piece.entries if one[0].size <= COPY_BYTES]
        left = [one for one in piece.entries if one[0].size > COPY_BYTES]
        source = os.fsencode(stored_file(places, piece.sha256))
        return piece._replace(entries=[*left, *writer.copy_slices(source, small)])

    done: list[Piece] = []
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        for batch in batches(pieces, STAGED_BYTES):
            with turn(), quiet_gc():
                done += threads.map(write, batch)
    with turn():
        writer.place()
    return [piece for piece in done if piece.entries]


def _unwritten(
    batch: Iterable[Piece], write: Callable[[Piece, TreeEntry, int], bool]
) -> list[Piece]:
    """The pieces with the entries that `write` says it could not write."""
    tried = (
        piece._replace(entries=[one for one in piece.entries if not write(piece, *one)])
        for piece in batch
    )
    return [piece for piece in tried if piece.entries]
