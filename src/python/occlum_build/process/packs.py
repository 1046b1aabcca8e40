"""The files of a directory put into fewer and larger ones, as a build engine works best with.

Pants keeps outputs of less than 512 KiB in a database that it maps into memory, and handles many
at a time: a directory of 50,000 files (1.4 GB) took 5 GB of pantsd. A pack is files in a row.
Which one a file is in depends on its name, so that the packs of two trees differ where their files
do.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

PACKS, INDEX = "packs", "packs.json"
# On average at most, and at least half of it: blobs up to 4 MiB are sent to a remote cache by
# calls that take many of them, which costs Pants most memory.
PACK_BYTES = 10 << 20
_CHUNK_BYTES = 1 << 20


class PackedFile(NamedTuple):
    """A file: SHA-256 in hex, size in bytes, the name of its pack and where in that it begins."""

    name: str
    sha256: str
    size: int
    pack: str
    offset: int


def pack_files(folder: Path, out: Path) -> None:
    """Move the files of a directory into `out/packs`, and write `out/packs.json`.

    The directory holds nothing else, and is removed.
    """
    sizes = {name: os.lstat(folder / name).st_size for name in sorted(os.listdir(folder))}
    (out / PACKS).mkdir()
    packed: list[PackedFile] = []
    for pack, names in sorted(_groups(sizes).items()):
        with open(out / PACKS / pack, "xb") as stream:
            for name in names:
                offset, hasher = stream.tell(), hashlib.sha256()
                with open(folder / name, "rb") as source:
                    while chunk := source.read(_CHUNK_BYTES):
                        hasher.update(chunk)
                        stream.write(chunk)
                size = stream.tell() - offset
                packed.append(PackedFile(name, hasher.hexdigest(), size, pack, offset))
                os.unlink(folder / name)
    folder.rmdir()
    (out / INDEX).write_text(json.dumps(sorted(packed), separators=(",", ":")), encoding="utf-8")


def read_index(text: bytes) -> tuple[PackedFile, ...]:
    """The files of a `packs.json`, by name."""
    return tuple(PackedFile(*row) for row in json.loads(text))


def _groups(sizes: dict[str, int]) -> dict[str, list[str]]:
    """Names by pack, in order."""
    count = 1
    while sum(sizes.values()) > count * PACK_BYTES:
        count *= 2
    groups: dict[str, list[str]] = {}
    for name in sizes:
        number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % count
        groups.setdefault(f"{number:04x}", []).append(name)
    return groups
