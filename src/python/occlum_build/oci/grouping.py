"""Which entry goes into which layer: a rule by what entries are, so that images share layers.

The groups, in this order: the program loader and the C library, which are the same pair for every
program of a distribution; other libraries found for programs, by the BOM that brought them; files
of the host that a BOM names, by BOM; files of the project, by BOM. Two images that include one BOM
thus have its layers in common. What an image adds itself moves nothing from one group to another.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from occlum_build.elf.facts import LIBC
from occlum_build.image.entries import FILE, Entry

DEFAULT_BUDGET = 16
_KINDS = ("C library", "libraries", "files of the system", "files")
# Name of the group -> where its files stand in the instance; the last has all others.
_INSTANCE_PARTS = {
    "PAL": ("build/bin", "build/lib/libocclum-pal"),
    "initfs": ("build/initfs/", "initfs/"),
    "image": ("build/mount/",),
    "enclave": ("",),
}
_LOADERS = ("ld-linux", "ld-musl-")
_C_LIBRARIES = (LIBC, "libc.so")


@dataclass(frozen=True)
class Group:
    """The entries of one layer, by their paths, sorted; `name` says what they are."""

    name: str
    paths: tuple[str, ...]
    size_bytes: int


def group_entries(entries: Iterable[Entry]) -> tuple[Group, ...]:
    """The groups of an image; names and order do not tell what the BOMs are called.

    A directory with something in it is in no group, as it comes with that (`with_parents`).
    """
    listed = list(entries)
    parents = _parents(entry.path for entry in listed)
    members: dict[tuple[int, str], list[Entry]] = {}
    for entry in listed:
        if entry.path and entry.path not in parents:
            members.setdefault(_key(entry), []).append(entry)
    groups = [
        (kind, _group(_KINDS[kind], ((entry.path, entry.size) for entry in of_bom)))
        for (kind, _), of_bom in members.items()
    ]
    return tuple(group for _, group in sorted(groups, key=lambda item: (item[0], item[1].paths)))


def group_instance(files: Iterable[tuple[str, int]], instance: str) -> tuple[Group, ...]:
    """The groups of a root file system that holds an instance in the directory `instance`.

    `files` are paths and sizes in bytes. PAL, initfs, the image and the enclave itself are each a
    group: enclaves of one toolchain share the first, a new signature changes only the last.
    """
    listed = list(files)
    parents = _parents(path for path, _ in listed)
    members: dict[str, list[tuple[str, int]]] = {name: [] for name in _INSTANCE_PARTS}
    for path, size in listed:
        if path and path not in parents:
            members[_part_of_instance(path, instance)].append((path, size))
    return tuple(_group(name, members[name]) for name in _INSTANCE_PARTS if members[name])


def within_budget(groups: Iterable[Group], budget: int) -> tuple[Group, ...]:
    """The groups in their order, at most `budget` (1 or more) of them.

    Beyond the budget the largest groups stay and all others become one, the last.
    """
    ordered = list(groups)
    if len(ordered) <= budget:
        return tuple(ordered)
    by_size = sorted(ordered, key=lambda group: (-group.size_bytes, group.paths))
    kept, joined = by_size[: budget - 1], by_size[budget - 1 :]
    paths = tuple(sorted(path for group in joined for path in group.paths))
    rest = Group("others", paths, sum(group.size_bytes for group in joined))
    return (*(group for group in ordered if group in kept), rest)


def with_parents(paths: Iterable[str]) -> list[str]:
    """The paths and all directories above them, sorted: a layer stands for itself."""
    found = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = posixpath.dirname(path)
    return sorted(found)


def _parents(paths: Iterable[str]) -> set[str]:
    return set(with_parents(posixpath.dirname(path) for path in paths))


def _key(entry: Entry) -> tuple[int, str]:
    bom = entry.origin.place.file
    if entry.is_library:
        return (0, "") if _is_base(posixpath.basename(entry.path)) else (1, bom)
    is_of_host = entry.kind == FILE and entry.source.startswith("/")
    return (2, bom) if is_of_host else (3, bom)


def _is_base(name: str) -> bool:
    return name.startswith(_LOADERS) or name in _C_LIBRARIES


def _part_of_instance(path: str, instance: str) -> str:
    below = path[len(instance) + 1 :] if path.startswith(f"{instance}/") else ""
    return next(name for name, start in _INSTANCE_PARTS.items() if below.startswith(start))


def _group(name: str, files: Iterable[tuple[str, int]]) -> Group:
    listed = sorted(files)
    return Group(name, tuple(path for path, _ in listed), sum(size for _, size in listed))
