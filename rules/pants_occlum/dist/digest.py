"""Digests of trees of entries, and the files of digests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pants.engine.fs import (
    CreateDigest,
    Digest,
    Directory,
    FileContent,
    FileDigest,
    FileEntry,
    SymlinkEntry,
)

from occlum_build.sources.model import FILE, SYMLINK
from pants_occlum.compat.pants_rules import create_digest, get_digest_entries
from pants_occlum.dist.entries import TreeEntry


def digest_entries(tree: Iterable[TreeEntry]) -> Iterator[FileEntry | SymlinkEntry | Directory]:
    """What CreateDigest makes the tree of; of modes only the owner's x bit is kept."""
    for entry in tree:
        if entry.kind == FILE:
            digest = FileDigest(entry.sha256, entry.size)
            yield FileEntry(entry.path, digest, bool(entry.mode & 0o100))
        elif entry.kind == SYMLINK:
            yield SymlinkEntry(entry.path, entry.target)
        else:
            yield Directory(entry.path)


def file_of(path: str, mode: int, digest: FileDigest) -> TreeEntry:
    """The entry of a file in Pants' store."""
    return TreeEntry(path, FILE, mode, digest.fingerprint, digest.serialized_bytes_length)


async def file_digests(digest: Digest) -> dict[str, FileDigest]:
    """Path -> file, of the files in a digest."""
    entries = await get_digest_entries(digest)
    return {entry.path: entry.file_digest for entry in entries if isinstance(entry, FileEntry)}


async def store_files(contents: Mapping[str, bytes]) -> dict[str, FileDigest]:
    """Path -> file, after the contents were put into Pants' store."""
    files = CreateDigest(FileContent(path, content) for path, content in sorted(contents.items()))
    return await file_digests(await create_digest(files))
