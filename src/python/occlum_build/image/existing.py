"""What stands in the directory of an image, seen without following links."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from occlum_build.files.handles import DirectoryHandles
from occlum_build.files.prefix import PREFIX

if TYPE_CHECKING:
    from occlum_build.image.plan import ImagePlan

_PATH_MAX = 4096  # bytes; nothing opens what has a longer path


def others_in(root: str, plan: ImagePlan) -> list[str]:
    """The in-image paths in the directory `root` that the plan does not name, topmost and sorted.

    The directories above a planned entry count as named, and the links that the BOM led through.
    """
    return others_than(root, named_by((entry.path for entry in plan.entries), plan.followed))


def named_by(entries: Iterable[str], followed: Iterable[str] = ()) -> set[str]:
    """The paths of entries and links, and of all directories above them; "" is the image's own."""
    named = {*entries, *followed, ""}
    for path in list(named):
        while (path := path.rpartition("/")[0]) not in named:
            named.add(path)
    return named


def others_than(
    root: str, named: Collection[str], found: dict[str, os.stat_result] | None = None
) -> list[str]:
    """The in-image paths in the directory `root` that are not named, topmost and sorted.

    `found` gets what is named, each directory before it is listed.
    """
    others: list[str] = []
    pending = [""]
    with suppress(OSError), DirectoryHandles(root) as image:
        while pending:
            for path, child in _listed(image, pending.pop()):
                if path not in named:
                    others.append(path)
                    continue
                if found is not None:
                    found[path] = child.stat(follow_symlinks=False)
                if child.is_dir(follow_symlinks=False):
                    pending.append(path)
    return sorted(others)


def files_by_name(root: str) -> dict[str, list[str]]:
    """The paths in the directory `root` of all that leads to no directory, by base name."""
    by_name: dict[str, list[str]] = {}
    pending = [""]
    with suppress(OSError), DirectoryHandles(root) as image:
        while pending:
            for path, child in _listed(image, pending.pop()):
                if not child.is_dir():
                    by_name.setdefault(child.name, []).append(path)
                elif not child.is_symlink() and len(os.fsencode(path)) < _PATH_MAX:
                    pending.append(path)
    return by_name


def _listed(image: DirectoryHandles, directory: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The entries of a directory with their paths; none where it cannot be listed.

    But for the temporary files of a run that was killed, which who writes the image removes.
    """
    above = directory and f"{directory}/"
    with suppress(OSError), os.scandir(image.at(directory)) as listing:
        for child in list(listing):
            if not child.name.startswith(PREFIX) or child.is_dir(follow_symlinks=False):
                yield above + child.name, child
