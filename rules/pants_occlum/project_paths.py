"""Paths of the project: what a field means by one, and the globs by which Pants finds it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Union

from occlum_build.bom.operations import CopyDir, CopyFile, Operations

Copy = Union[CopyDir, CopyFile]


def project_path(value: str, directory: str) -> str:
    """A path of a field: absolute, below the build root, or with `./` below the BUILD file's."""
    if value.startswith("/"):
        return posixpath.normpath(value)
    base = directory if value == "." or value.startswith("./") else ""
    path = posixpath.normpath(posixpath.join(base, value))
    return "" if path == "." else path


def literal(path: str) -> str:
    """The glob that matches one path; a leading `!`, which would exclude, matches any character."""
    escaped = "".join(f"[{one}]" if one in "*?[" else one for one in path)
    return f"?{escaped[1:]}" if escaped.startswith("!") else escaped


def project_copies(operations: Iterable[Operations]) -> list[Copy]:
    """The copies whose source is a file or directory of the project."""
    copies: list[Copy] = []
    for one in operations:
        copies.extend(one.dirs)
        copies.extend(one.files)
    return [copy for copy in copies if not copy.source.startswith("/")]


def copy_globs(copies: Iterable[Copy]) -> tuple[str, ...]:
    """Globs of all that the copies may take, sorted."""
    globs: dict[str, None] = {}
    for copy in copies:
        found = [literal(copy.source)] if copy.source else []
        if copy.wildcard:
            found.append(_wildcard(copy))
        if isinstance(copy, CopyDir):
            found += [f"{glob}/**" for glob in found] or ["**"]
        globs.update(dict.fromkeys(found))
    return tuple(sorted(globs))


def _wildcard(copy: Copy) -> str:
    """The pattern of a copy; the directory that it is relative to is none."""
    below = copy.source[len(copy.base) :] if copy.source.startswith(copy.base) else ""
    return literal(copy.base) + below if below else copy.source
