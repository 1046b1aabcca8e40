"""The image while it is planned: paths are resolved inside it, as a chroot would."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from occlum_build.bom.looked import MAX_ENTRIES, MAX_PATHS_BYTES
from occlum_build.errors import OcclumError, Place, TooMuch
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.sources.model import MAX_LINKS, SourceStat

_ROOT = SourceStat(DIR, 0o755)


class Base(Protocol):
    """What the image's directory holds before, by in-image path."""

    def lstat(self, path: str) -> SourceStat | None:
        """The entry there, or None."""

    def source(self, path: str) -> str:
        """The source path of a file there."""

    def named(self, name: str) -> Collection[str]:
        """The paths of the files, and of links, that have a base name."""


class EmptyBase:
    """The image is made from nothing."""

    def lstat(self, path: str) -> SourceStat | None:
        return None

    def source(self, path: str) -> str:
        raise KeyError(path)

    def named(self, name: str) -> Collection[str]:
        return ()


class ImageTree:
    """Planned entries over what the image already holds."""

    def __init__(self, base: Base) -> None:
        self.base = base
        self.entries: dict[str, Entry] = {}
        self._parents: set[str] = set()  # of entries
        self._parents_before: dict[str, bool] = {}  # directory -> is there one from before
        self._paths_bytes = 0
        # The links from before that paths of the plan led through.
        self.followed: set[str] = set()
        self._directories: dict[str, str] = {"": ""}  # path -> real path of an existing directory

    def copy(self) -> ImageTree:
        """A tree that can be changed without changing this one."""
        copied = ImageTree(self.base)
        copied.entries.update(self.entries)
        copied._parents.update(self._parents)
        copied._paths_bytes = self._paths_bytes
        copied.followed.update(self.followed)
        return copied

    def lstat(self, path: str) -> SourceStat | None:
        """What stands at a real in-image path, planned or from before."""
        entry = self.entries.get(path)
        if entry is not None:
            return SourceStat(entry.kind, entry.mode, entry.size, entry.target)
        return self._lstat_before(path) if path else _ROOT

    def _lstat_before(self, path: str) -> SourceStat | None:
        """What stands there from before; not looked for where its parent is not there either."""
        parent = path.rpartition("/")[0]
        is_there = not parent or self._parents_before.get(parent)
        if is_there is None:
            is_there = self._parents_before[parent] = self.base.lstat(parent) is not None
        return self.base.lstat(path) if is_there else None

    def kind(self, path: str) -> str:
        """The kind of what stands at a real in-image path, "" where there is nothing."""
        entry = self.entries.get(path)
        if entry is not None:
            return entry.kind
        stat = self._lstat_before(path) if path else _ROOT
        return stat.kind if stat is not None else ""

    def put(self, entry: Entry, before: str | None = None) -> None:
        """Plan an entry; `before` is the kind of what stands there, for who knows it."""
        if before is None:
            before = self.kind(entry.path)
        if SYMLINK in (entry.kind, before) or (before == DIR and entry.kind != DIR):
            self._directories = {"": ""}
        if entry.path not in self.entries:
            self._count(entry)
        self.entries[entry.path] = entry

    def _count(self, entry: Entry) -> None:
        self._paths_bytes += len(entry.path)
        if len(self.entries) == MAX_ENTRIES or self._paths_bytes > MAX_PATHS_BYTES:
            most = f"{MAX_ENTRIES:,} entries, or more than {MAX_PATHS_BYTES:,} bytes of paths"
            message = f"the image would have more than {most}"
            raise TooMuch("directory", message, place=entry.origin.place)
        parent = entry.path.rpartition("/")[0]
        while parent and parent not in self._parents:
            self._parents.add(parent)
            parent = parent.rpartition("/")[0]

    def has_below(self, path: str) -> bool:
        """Whether something is planned below a path."""
        return path in self._parents

    def is_dir(self, path: str) -> bool:
        return self.kind(path) == DIR

    def real_file(self, path: str) -> str | None:
        """The real path of the regular file that `path` leads to in the image; None for none."""
        try:
            real = self.locate(path, follow_last=True)
        except OcclumError:  # a loop of links, which leads to no file
            return None
        return real if self.kind(real) == FILE else None

    def file_source(self, path: str) -> str | None:
        """The source of the regular file at `path`, links followed in the image; None for none."""
        real = self.real_file(path)
        if real is None:
            return None
        entry = self.entries.get(real)
        return entry.source if entry else self.base.source(real)

    def leads_to_dir(self, path: str) -> bool:
        """Whether `path` leads to a directory of the image."""
        try:
            return self.is_dir(self.locate(path, follow_last=True))
        except OcclumError:
            return False

    def locate(self, path: str, place: Place | None = None, *, follow_last: bool = False) -> str:
        """The real path of `path`: links of its parents (and of itself) followed in the image.

        Parts that do not exist are taken as written. Raises OcclumError `link` on a loop.
        """
        parent, _, name = path.rpartition("/")
        if not follow_last and parent in self._directories:
            real = self._directories[parent]
            return f"{real}/{name}" if real else name
        here, pending, links = "", path.split("/")[::-1] if path else [], 0
        while pending:
            part = pending.pop()
            if part in ("", "."):
                continue
            if part == "..":
                here = here.rpartition("/")[0]
                continue
            child = f"{here}/{part}" if here else part
            stat = self.lstat(child)
            if stat is not None and stat.kind == SYMLINK and (pending or follow_last):
                if child not in self.entries:
                    self.followed.add(child)
                links += 1
                if links > MAX_LINKS:
                    raise OcclumError("link", f"the links of /{path} form a loop", place=place)
                if stat.target.startswith("/"):
                    here = ""
                pending.extend(stat.target.split("/")[::-1])
                continue
            here = child
        self._remember(parent, here, follow_last)
        return here

    def _remember(self, parent: str, real: str, follow_last: bool) -> None:
        real_parent = real.rpartition("/")[0]
        if not follow_last and self.is_dir(real_parent):
            self._directories[parent] = real_parent
