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


class KeptLinks:
    """Which links that copies name stay links, by all directory copies of an image.

    One does where a copy brings what the link leads to, to where that leads in the image too
    (`dirs: [releases, current]`), and where the BOM has the link's contents on a line of their own
    (`l` and `l/`), so that the link itself can only be meant as such.
    """

    def __init__(self, sources: Sources, copies: Iterable[CopyDir]) -> None:
        self._sources = sources
        self._contents: set[str] = set()  # of which the contents are copied
        self._places: dict[str, set[str]] = {}  # real source path -> where it is in the image
        for one in copies:
            if one.contents_only:
                self._contents.add(one.source)
            source = resolve(sources, one.source, follow_last=False) or one.source
            name = "" if one.contents_only else posixpath.basename(one.source)
            place = posixpath.join(one.path, name).rstrip("/")
            self._places.setdefault(source, set()).add(place)

    def keeps(self, copy: CopyDir) -> bool:
        """Does the link that a copy names stay one?"""
        real, link = _link(self._sources, copy.source)
        if link is None or is_unsafe_link(posixpath.basename(real), link.target):
            return False
        leads_to = join(posixpath.dirname(real), link.target)
        in_image = join(copy.path, link.target)
        if leads_to is None or in_image is None:
            return False
        if copy.source in self._contents:
            return True
        return leads_to != real and self._brings(leads_to, in_image)

    def _brings(self, source: str, path: str) -> bool:
        """Is what stands at a source path copied to a path of the image?"""
        below = ""
        while True:
            # Where `source` would have to be in the image.
            place = f"/{path}".removesuffix(f"/{below}" if below else "")
            is_below = not below or f"/{path}".endswith(f"/{below}")
            if is_below and place.lstrip("/") in self._places.get(source, ()):
                return True
            if not source.strip("/"):
                return False
            parent = posixpath.dirname(source)
            below = source[len(parent) :].strip("/") + (f"/{below}" if below else "")
            source = parent


def _link(sources: Sources, source: str) -> tuple[str, SourceStat | None]:
    """The real path of a source, and its stat if it is a link."""
    real = resolve(sources, source, follow_last=False)
    stat = sources.lstat(real) if real is not None else None
    is_link = stat is not None and stat.kind == SYMLINK
    return real or "", stat if is_link else None
