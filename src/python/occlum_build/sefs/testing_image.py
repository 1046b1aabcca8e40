"""Test helper: images with anything in them, under right tags, as only a forger writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from occlum_build.sefs.fs_format import (
    DIRENT,
    Dirent,
    FileType,
    Inode,
    disk_filename,
    pack_metadata,
)
from occlum_build.sefs.pf_crypto import IntegrityOnly
from occlum_build.sefs.pf_writer import BytesSource, PfWriter

FILE, DIR, SYMLINK = FileType.FILE, FileType.DIR, FileType.SYMLINK


@dataclass(frozen=True)
class Forged:
    """An inode and its content; None stands for what the format asks for."""

    type: int
    content: bytes
    mode: int = 0o755
    nlinks: int | None = None
    blocks: int | None = None
    disk: bytes | None = None


def directory(number: int, parent: int, *children: tuple[int, bytes, int]) -> Forged:
    """A directory inode with these children, whatever their names are."""
    entries = [(number, b".", DIR), (parent, b"..", DIR), *children]
    content = b"".join(DIRENT.pack(**Dirent(*entry)._asdict()) for entry in entries)
    subdirectories = sum(child[2] == DIR for child in children)
    return Forged(DIR, content, nlinks=2 + subdirectories)


def forge_image(
    image: Path,
    inodes: Mapping[int, Forged],
    change: Callable[[bytearray], None] = lambda metadata: None,
) -> Path:
    """Write an integrity-only image; `change` edits the plaintext of `metadata` before."""
    image.mkdir()
    writer, table = PfWriter(), []
    for number, forged in sorted(inodes.items()):
        disk = forged.disk or disk_filename(number)
        mac = b""
        if not (image / disk.hex()).exists():
            name = disk.hex()
            mac = writer.write(
                image / name, name.encode(), BytesSource(forged.content), IntegrityOnly()
            )
        is_dir = forged.type == DIR
        size = 0 if is_dir else len(forged.content)
        entries = len(forged.content) // DIRENT.size if is_dir else 0
        blocks = entries if forged.blocks is None else forged.blocks
        nlinks = 1 if forged.nlinks is None else forged.nlinks
        table.append((number, Inode(size, forged.type, forged.mode, nlinks, blocks, disk, mac)))
    metadata = bytearray(pack_metadata(table))
    change(metadata)
    writer.write(image / "metadata", b"metadata", BytesSource(bytes(metadata)), IntegrityOnly())
    return image
