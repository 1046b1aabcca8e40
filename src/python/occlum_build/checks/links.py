"""Links of an image that lead to nothing in it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import NamedTuple

from occlum_build.checks.root import Root
from occlum_build.errors import WARNING, Place, Problem
from occlum_build.image.entries import SYMLINK, Entry
from occlum_build.shown import some

# What is there at run time only: the kernel's, Occlum's or a container's mounts and what is made
# anew at each boot.
RUN_TIME_DIRS = ("/dev", "/host", "/proc", "/run", "/sys", "/tmp", "/var/run", "/var/tmp")


class _Group(NamedTuple):
    """Links of one kind that one line of a BOM brings."""

    place: Place | None
    is_loop: bool
    is_made: bool


def link_problems(image: Root) -> list[Problem]:
    """The links that lead nowhere: a warning "link-dangling" for each line that brings some."""
    groups: dict[_Group, list[Entry]] = {}
    for path in image.paths:
        entry = image.at(path)
        if entry is None or entry.kind != SYMLINK:
            continue
        found = image.follow(path)
        if found.is_there or _is_at_run_time(found.path):
            continue
        # An entry that was there before the BOM has its own path for a place.
        place = entry.origin.place if entry.origin.place.file != entry.source else None
        group = _Group(place, found.is_loop, is_made=not entry.source)
        groups.setdefault(group, []).append(entry)
    return list(_problems(groups))


def _problems(groups: dict[_Group, list[Entry]]) -> Iterator[Problem]:
    for group, links in groups.items():
        many = len(links) > 1
        what = f"{len(links)} links" if many else "the link"
        nowhere = ("lead" if many else "leads") + " to nothing in the image"
        if group.is_loop:
            verb = "form a loop" if many else "is a loop"
            hint = "let it lead to a file or directory, or leave it out"
        elif group.is_made:
            verb = nowhere
            hint = "copy a file there, or correct `src`: a relative one starts where the link is"
        else:
            verb = nowhere
            hint = "copy what it leads to there as well, or leave the link out with `excludes`"
        shown = some([f"/{link.path} -> {link.target}" for link in links])
        text = f"{what} {verb}: {shown}" if many else f"{what} {shown} {verb}"
        yield Problem("link-dangling", text, group.place, hint, severity=WARNING)


def _is_at_run_time(path: str) -> bool:
    path = posixpath.normpath(path)
    return any(path == one or path.startswith(f"{one}/") for one in RUN_TIME_DIRS)
