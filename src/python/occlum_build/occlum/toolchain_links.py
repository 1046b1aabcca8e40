"""Links in a toolchain: whoever made it may be after the files that they lead to."""

from __future__ import annotations

import posixpath
from typing import Callable

from occlum_build.errors import OcclumError, Problem
from occlum_build.sources.model import MAX_LINKS

# What stands at a place: None for nothing, the target of a link, "" for anything else.
Look = Callable[[str], "str | None"]


class _Astray(Exception):
    """A link leads out of the toolchain, to nothing, or in a circle."""


def follow(place: str, look: Look, name: Callable[[str], str], root: str, role: str) -> str | None:
    """Where a place is when the links on its way are followed below `root`, and never above it.

    An absolute target is looked up in `root`. None where there is nothing; OcclumError `toolchain`
    where there is nothing because of a link. `name` is what errors call a place, `role` the file.
    """
    pending, here, link = _parts(place), "", ""
    links, target = 0, ""
    try:
        while pending:
            part = pending.pop()
            if part == "..":
                if not here and root != "/":
                    raise _Astray
                here = posixpath.dirname(here)
                continue
            child = posixpath.join(here, part)
            found = look(child)
            if found is None:
                if link:
                    raise _Astray
                return None
            if not found:
                here = child
                continue
            link, target, links = child, found, links + 1
            if links > MAX_LINKS:
                raise _Astray
            pending += _parts(target)
            here = "" if target.startswith("/") else here
    except _Astray:
        raise OcclumError.of([astray(role, name(link or place), target, root)]) from None
    return here


def astray(role: str, link: str, target: str, root: str) -> Problem:
    """The problem of a link of a toolchain that leads out of it, or to nothing."""
    return Problem(
        "toolchain",
        f"the toolchain has no {role}: {link} is a link to {target}, and there is no such file in "
        f"{root}",
        hint="links of a toolchain are followed within it alone: put the file itself there, or "
        "give the root of the system that has both",
    )


def _parts(path: str) -> list[str]:
    """The components of a path, last first, as a stack."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
