"""Files in packs that are in Pants' store (occlum_build.process.packs says why)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pants.engine.fs import CreateDigest, Digest, FileDigest, FileEntry

from occlum_build.process.complete import FileInPack
from occlum_build.process.packs import PACKS, PackedFile
from occlum_build.sources.model import FILE
from pants_occlum.compat.pants_rules import create_digest
from pants_occlum.dist.entries import TreeEntry


class Slice(NamedTuple):
    """Where a content begins in a pack, in bytes."""

    pack: str
    offset: int


@dataclass(frozen=True)
class Packed:
    """The files of a directory, and the packs that hold them, by name."""

    packs: tuple[tuple[str, FileDigest], ...]
    files: tuple[PackedFile, ...] = field(compare=False, repr=False)

    def slices(self) -> dict[str, Slice]:
        """Contents by SHA-256."""
        return {one.sha256: Slice(one.pack, one.offset) for one in self.files}

    def tree(self, path: str, mode: int) -> Iterator[TreeEntry]:
        """The entries of the files below a path."""
        below = f"{path}/" if path else ""
        return (
            TreeEntry(f"{below}{one.name}", FILE, mode, one.sha256, one.size) for one in self.files
        )


def in_packs(entries: Iterable[TreeEntry], slices: Mapping[str, Slice]) -> tuple[FileInPack, ...]:
    """Where a process finds those of the files of a tree that are in packs, which have no modes."""
    return tuple(
        FileInPack(entry.path, *slices[entry.sha256], entry.size)
        for entry in entries
        if entry.sha256 in slices and not entry.mode & 0o111
    )


async def packs_input(packed: Packed, wanted: Iterable[FileInPack]) -> Digest:
    """The packs that a process needs for some files, in the place where it looks for them."""
    names = {one.pack for one in wanted}
    packs = (FileEntry(f"{PACKS}/{name}", pack) for name, pack in packed.packs if name in names)
    return await create_digest(CreateDigest(packs))
