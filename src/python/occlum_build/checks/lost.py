"""What files of an image have at their source and lose: no image can hold it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from occlum_build.checks.root import Root
from occlum_build.errors import NOTE, WARNING, Place, Problem
from occlum_build.image.entries import Entry
from occlum_build.shown import some
from occlum_build.sources.extras import CAPABILITY


def lost_problems(image: Root) -> list[Problem]:
    """Capabilities, other extended attributes and holes that files lose: one problem a line."""
    capable: dict[Place, list[Entry]] = {}
    attributed: dict[Place, list[tuple[Entry, tuple[str, ...]]]] = {}
    sparse: dict[Place, list[tuple[Entry, int]]] = {}
    for path in image.files:
        entry = image.at(path)
        stat = image.sources.lstat(entry.source) if entry is not None and entry.source else None
        if entry is None or stat is None:
            continue
        place = entry.origin.place
        if CAPABILITY in stat.xattrs:
            capable.setdefault(place, []).append(entry)
        elif stat.xattrs:
            attributed.setdefault(place, []).append((entry, stat.xattrs))
        if stat.holes:
            sparse.setdefault(place, []).append((entry, stat.holes))
    return [*_capable(capable), *_attributed(attributed), *_sparse(sparse)]


def _capable(found: dict[Place, list[Entry]]) -> Iterator[Problem]:
    for place, entries in found.items():
        yield Problem(
            "xattr",
            f"{_files([f'/{one.path}' for one in entries], 'has', 'have')} Linux capabilities "
            f"({CAPABILITY}), which no image keeps",
            place,
            "run it as root, or with the capabilities that it needs, in a container; an enclave "
            "has none",
            severity=WARNING,
        )


def _attributed(found: dict[Place, list[tuple[Entry, tuple[str, ...]]]]) -> Iterator[Problem]:
    for place, files in found.items():
        names = sorted({name for _, xattrs in files for name in xattrs})
        shown = _files([f"/{one.path}" for one, _ in files], "has", "have")
        text = f"{shown} extended attributes that no image keeps: {', '.join(names)}"
        yield Problem("xattr", text, place, severity=NOTE)


def _sparse(found: dict[Place, list[tuple[Entry, int]]]) -> Iterator[Problem]:
    for place, files in found.items():
        size = sum(entry.size for entry, _ in files)
        used = size - sum(holes for _, holes in files)
        shown = _files([f"/{entry.path}" for entry, _ in files], "is", "are")
        yield Problem(
            "sparse",
            f"{shown} sparse, {used >> 20:,} of {size >> 20:,} MiB on disk: layers, archives and "
            "secure file systems hold every byte",
            place,
            "make the file at run time, or in the size that it needs",
            severity=WARNING,
        )


def _files(paths: Sequence[str], one: str, many: str) -> str:
    return f"{some(paths)} {one if len(paths) == 1 else many}"
