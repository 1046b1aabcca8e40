"""What no traced run has opened of an image, with directories in place of all that is in them.

Used is what was opened or executed, over links too, and the interpreters that the kernel opens. Of
what was only looked at (stat, access, readlink) a program may need that it is there.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from occlum_build.checks.root import Root
from occlum_build.image.entries import DIR, FILE
from occlum_build.trace.calls import CREATE, EXEC, LINK, LIST, LOOK, OPEN
from occlum_build.trace.interpreters import interpreters
from occlum_build.trace.processes import Ask
from occlum_build.trace.record import Record

_USES = (CREATE, EXEC, OPEN)
_LOOKS = (LINK, LIST, LOOK)
_MOST_INTERPRETERS = 8  # of one another, where kernels stop after 4


class Part(NamedTuple):
    """A file, or a directory in which no file was used; bytes."""

    path: str
    kind: str
    files: int
    size: int


@dataclass(frozen=True)
class Unused:
    """`parts` are sorted by path, `looked_at` has paths and bytes of files that are in none."""

    parts: tuple[Part, ...]
    looked_at: Mapping[str, int] = field(default_factory=dict)
    all_files: int = 0
    all_bytes: int = 0

    @property
    def files(self) -> int:
        return sum(one.files for one in self.parts)

    @property
    def bytes(self) -> int:
        return sum(one.size for one in self.parts)


def find_unused(record: Record, image: Root) -> Unused:
    """Compare an image with what was asked for in it."""
    used, looked = _used(record, image)
    looked -= used
    sizes = {path: entry.size for path in image.files if (entry := image.at(path)) is not None}
    unused = {path: size for path, size in sizes.items() if path not in used | looked}
    # Of each directory how many files it has, and how many of them are unused.
    have = _counted(sizes)
    lack = _counted(unused)
    sums: dict[str, Part] = {}
    for path, size in unused.items():
        top = path
        for parent in _parents(path):
            if lack[parent] != have[parent]:
                break
            top = parent
        known = sums.get(top, Part(top, FILE if top == path else DIR, 0, 0))
        sums[top] = known._replace(files=known.files + 1, size=known.size + size)
    return Unused(
        tuple(one for _, one in sorted(sums.items())),
        {path: sizes[path] for path in sorted(looked & sizes.keys())},
        len(sizes),
        sum(sizes.values()),
    )


def _used(record: Record, image: Root) -> tuple[set[str], set[str]]:
    """The real paths of what was used, and of what was looked at."""
    used: set[str] = set()
    looked: set[str] = set()
    for ask in sorted(one for one in record.asks if one.is_found):
        real = _real(image, ask)
        if real is not None and ask.kind in _USES:
            used.add(real)
        elif real is not None and ask.kind in _LOOKS:
            looked.add(real)
    pending = [ask.path for ask in record.asks if ask.is_found and ask.kind == EXEC]
    for _ in range(_MOST_INTERPRETERS):
        pending = sorted({one for path in pending for one in interpreters(image, None, path)})
        used |= {real for path in pending if (real := image.resolve(path)) is not None}
    return used, looked


def _real(image: Root, ask: Ask) -> str | None:
    if ask.kind != LINK:
        return image.resolve(ask.path)
    parent = image.resolve(posixpath.dirname(ask.path))
    return None if parent is None else posixpath.join(parent, posixpath.basename(ask.path))


def _counted(paths: Mapping[str, int]) -> dict[str, int]:
    """Of each directory the number of files in and below it."""
    counts: dict[str, int] = {}
    for path in paths:
        for parent in _parents(path):
            counts[parent] = counts.get(parent, 0) + 1
    return counts


def _parents(path: str) -> Iterator[str]:
    """The directories above, the nearest first, and the root last."""
    while path != "/":
        path = posixpath.dirname(path)
        yield path
