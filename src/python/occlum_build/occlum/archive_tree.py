"""The tree that a tar archive leaves where it is unpacked, without unpacking it."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Iterable

from occlum_build.files.tar_reader import HARD_LINK, Member
from occlum_build.occlum.toolchain_links import LOST
from occlum_build.sources.model import DIR, SourceStat

MAX_NAME = 4095  # as the kernel's PATH_MAX: no place of a system has a longer one


class ArchiveTree:
    """Looks names up as a file system would; the last member of a name is what counts.

    A hard link is what its target was when it came. Names of more than MAX_NAME are left out.
    """

    def __init__(self, members: Iterable[Member]) -> None:
        self.members: dict[str, Member] = {}
        for member in members:
            if len(member.name) <= MAX_NAME:
                name = clean(member.name)
                if member.kind == HARD_LINK:
                    member = self.members.get(clean(member.link), member)
                self.members[name] = member
        self._names = sorted(self.members)

    def look(self, name: str) -> SourceStat | None:
        """What stands there, links not followed; directories need no member of their own."""
        member = self.members.get(name)
        if member is None:
            below = f"{name}/"
            at = bisect_left(self._names, below)
            is_dir = at < len(self._names) and self._names[at].startswith(below)
            return SourceStat(DIR) if is_dir else None
        return SourceStat(LOST if member.kind == HARD_LINK else member.kind, target=member.link)

    def tops(self) -> list[str]:
        """Where a tree may begin: at the top, or in the directory that everything is in."""
        files = [name for name in self._names if self.members[name].kind != DIR]
        folders = [posixpath.dirname(name) for name in (*files[:1], *files[-1:])]
        return list(dict.fromkeys(("", posixpath.commonpath(folders or [""]))))


def clean(name: str) -> str:
    """A member's name as a path below the archive, in normal form."""
    return posixpath.normpath(name).lstrip("/")
