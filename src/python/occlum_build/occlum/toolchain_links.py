"""Links in a toolchain: whoever made it may be after the files that they lead to."""

from __future__ import annotations

import posixpath
from typing import Callable, NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.sources.model import DIR, MAX_LINKS, SYMLINK, SourceStat

MAX_TARGET = 4095  # of a link, as the kernel's PATH_MAX; only archives may hold longer ones
LOST = "lost"  # what a hard link of an archive is that is one to nothing

# What stands at a place, links not followed; None for nothing.
Look = Callable[[str], "SourceStat | None"]

_HINT = (
    "links of a toolchain are followed within it alone: put the file itself there, or give the "
    "root of the system that has both"
)


class _Link(NamedTuple):
    place: str
    target: str


# A component that is still to be looked up, and the link in whose target it stands.
_Part = tuple[str, "_Link | None"]


def follow(place: str, look: Look, name: Callable[[str], str], root: str, role: str) -> str | None:
    """Where a place is when the links on its way are followed below `root`, and never above it.

    An absolute target is looked up in `root`. None where nothing is; OcclumError `toolchain` for a
    link to nothing, also on the way, and for what is on it and is no directory. `name` is what
    errors call a place, `role` the file.
    """

    def error(what: str, link: _Link | None) -> OcclumError:
        of_link = f"{name(link.place)} is a link to {link.target}, and " if link else ""
        message = f"the toolchain has no {role}: {of_link}{what}"
        return OcclumError("toolchain", message, hint=_HINT if link else "")

    pending, here, links = _parts(place, None), "", 0
    first: _Link | None = None
    nothing = f"there is no such file in {root}"
    while pending:
        part, by = pending.pop()
        if part == ".":
            continue
        if part == "..":
            if not here and root != "/":
                raise error(nothing, by)
            here = posixpath.dirname(here)
            continue
        child = posixpath.join(here, part)
        found = look(child)
        if found is None:
            if by is None:
                return None
            raise error(nothing, by)
        if found.kind in (SYMLINK, LOST):
            by = _Link(child, found.target)
            first, links = first or by, links + 1
            if links > MAX_LINKS:
                raise error(f"{nothing} within {MAX_LINKS} links", first)
            if found.kind == LOST or len(found.target) > MAX_TARGET or not found.target:
                raise error(nothing, by)
            pending += _parts(found.target, by)
            here = "" if found.target.startswith("/") else here
            continue
        if pending and found.kind != DIR:
            raise error(f"{name(child)} is not a directory", by or pending[-1][1])
        here = child
    return here


def _parts(path: str, by: _Link | None) -> list[_Part]:
    """The components of a path, last first, as a stack; a slash at its end asks for a directory."""
    asked = f"{path}." if path.endswith("/") else path
    return [(part, by) for part in reversed(asked.split("/")) if part]
