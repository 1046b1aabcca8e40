"""Links that `dirs` names: what they lead to is copied under their name, with two exceptions."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from occlum_build.bom.operations import CopyDir
from occlum_build.bom.walk import is_unsafe_link
from occlum_build.sources.model import SYMLINK, Sources, SourceStat, join, resolve


def is_named_link(sources: Sources, copy: CopyDir) -> bool:
    """Does a directory copy name a link, and not the contents of what it leads to?"""
    return not copy.contents_only and _link(sources, copy.source)[1] is not None


def keeps_link(sources: Sources, copy: CopyDir, copies: Iterable[CopyDir]) -> bool:
    """Does the link that a copy names stay a link? `copies` are all directory copies.

    It does where one of these brings what the link leads to, to where that leads in the image too
    (`dirs: [releases, current]`), and where the BOM has the link's contents on a line of their own
    (`l` and `l/`), so that the link itself can only be meant as such.
    """
    real, link = _link(sources, copy.source)
    if link is None or is_unsafe_link(posixpath.basename(real), link.target):
        return False
    leads_to = join(posixpath.dirname(real), link.target)
    in_image = join(copy.path, link.target)
    if leads_to is None or in_image is None:
        return False
    for other in copies:
        if other.contents_only and other.source == copy.source:
            return True
        source = resolve(sources, other.source, follow_last=False) or other.source
        name = "" if other.contents_only else posixpath.basename(other.source)
        if leads_to != real and _below(leads_to, source) is not None:
            brought = posixpath.join(other.path, name, _below(leads_to, source) or "")
            if brought.rstrip("/") == in_image:
                return True
    return False


def _link(sources: Sources, source: str) -> tuple[str, SourceStat | None]:
    """The real path of a source, and its stat if it is a link."""
    real = resolve(sources, source, follow_last=False)
    stat = sources.lstat(real) if real is not None else None
    is_link = stat is not None and stat.kind == SYMLINK
    return real or "", stat if is_link else None


def _below(path: str, directory: str) -> str | None:
    """A path relative to a directory, None where it is not in it."""
    if path == directory:
        return ""
    prefix = directory.rstrip("/") + "/" if directory else ""
    return path[len(prefix) :] if path.startswith(prefix) else None
