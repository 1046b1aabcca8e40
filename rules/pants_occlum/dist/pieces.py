"""The files of Pants' store that hold the contents of some entries, and groups of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, TypeVar

from pants.engine.fs import CreateDigest, FileDigest, FileEntry

from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.packed import Packed


class Piece(NamedTuple):
    """A file of the store, and the entries whose contents begin there at an offset in bytes."""

    sha256: str
    size: int
    entries: list[tuple[TreeEntry, int]]


def pieces_of(entries: Iterable[TreeEntry], packed: Packed | None) -> list[Piece]:
    """The files of the store that have the contents of some entries, with these."""
    slices = packed.slices() if packed is not None else {}
    packs = dict(packed.packs) if packed is not None else {}
    pieces: dict[str, Piece] = {}
    for entry in sorted(entries):
        found = slices.get(entry.sha256)
        if found is None:
            sha256, size, offset = entry.sha256, entry.size, 0
        else:
            pack = packs[found.pack]
            sha256, size, offset = pack.fingerprint, pack.serialized_bytes_length, found.offset
        pieces.setdefault(sha256, Piece(sha256, size, [])).entries.append((entry, offset))
    return [piece for _, piece in sorted(pieces.items())]


class HasSize(Protocol):
    """Something of so many bytes."""

    @property
    def size(self) -> int: ...


T = TypeVar("T", bound=HasSize)


def batches(things: Iterable[T], most_bytes: int) -> Iterator[list[T]]:
    """Groups of limited size, a larger one on its own."""
    batch: list[T] = []
    size = 0
    for thing in things:
        if batch and size + thing.size > most_bytes:
            yield batch
            batch, size = [], 0
        batch.append(thing)
        size += thing.size
    if batch:
        yield batch


def files_of(batch: Iterable[Piece]) -> CreateDigest:
    """Each file, under its SHA-256."""
    return CreateDigest(
        FileEntry(piece.sha256, FileDigest(piece.sha256, piece.size)) for piece in batch
    )
