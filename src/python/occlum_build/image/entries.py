"""The entries of an image: what stands at which path, from where, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from occlum_build.errors import Place
from occlum_build.sources.model import DIR, FILE, SYMLINK

__all__ = ["DIR", "FILE", "SYMLINK", "Entry", "Origin"]


@dataclass(frozen=True)
class Origin:
    """Why an entry is in the image: the BOM item, and for a library the chain that needs it.

    The chain runs from the program to the library, source paths, and ends with the rule by which
    it was found: `ws/app`, `/lib/libfoo.so.1`, `libfoo.so.1 found by RPATH of ws/app`. `in_tree`:
    it came with a directory that was copied, and nobody named it by itself.
    """

    place: Place
    chain: tuple[str, ...] = ()
    in_tree: bool = False

    def __str__(self) -> str:
        return f"{self.place} ({' -> '.join(self.chain)})" if self.chain else str(self.place)


class Entry(NamedTuple):
    """One entry, a tuple as an image has many; `path` is relative to the image's root, "".

    `source` is the source path of a file's bytes (of a directory's mode, "" for one that we make),
    `mode` the permission bits, `size` in bytes, `target` that of a link.
    """

    path: str
    kind: str
    origin: Origin
    mode: int = 0o755
    source: str = ""
    size: int = 0
    target: str = ""

    @property
    def is_library(self) -> bool:
        """Was it found by autodep rather than named in a BOM?"""
        return bool(self.origin.chain)
