"""Names and paths of an image that Linux cannot open."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from occlum_build.checks.root import Root
from occlum_build.errors import Problem
from occlum_build.image.entries import Entry
from occlum_build.shown import escaped

# In bytes, as Linux and the secure file system have them; PATH_MAX counts a zero byte at the end.
NAME_MAX, PATH_MAX = 255, 4096
_SHOWN = 60


def name_problems(image: Root) -> Iterator[Problem]:
    """An error "name-too-long" for each name, path and link target that is."""
    for path in image.paths:
        entry = image.at(path)
        if entry is None:
            continue
        longest = max(len(path), len(entry.target))  # in characters
        if longest > NAME_MAX or (
            longest * 4 > NAME_MAX and not (path.isascii() and entry.target.isascii())
        ):
            yield from _of(path, entry)


def _of(path: str, entry: Entry) -> Iterator[Problem]:
    name = posixpath.basename(path)
    for what, text, most in (
        ("name", name, NAME_MAX),
        ("path", path, PATH_MAX - 1),
        ("target of the link", entry.target, PATH_MAX - 1),
    ):
        size = len(text.encode("utf-8", "surrogateescape"))
        if size > most:
            shown = escaped(name if what == "target of the link" else text)
            shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
            message = f"the {what} {shown} has {size:,} bytes, and Linux opens none of more than"
            hint = "give it a shorter one"
            yield Problem("name-too-long", f"{message} {most:,}", entry.origin.place, hint)
