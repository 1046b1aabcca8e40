"""Unpacks a .deb, each file of it compared with its index."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import shown_bytes
from occlum_build.files.change import Change
from occlum_build.files.tar_reader import FILE as FILE_MEMBER
from occlum_build.files.tar_reader import HARD_LINK, Member, entries_of
from occlum_build.packages.deb import opened
from occlum_build.packages.index import DebIndex, Entry
from occlum_build.packages.paths import canonical
from occlum_build.packages.tree import TreeWriter
from occlum_build.shown import some
from occlum_build.sources.model import FILE

CODE = "deb-content"
_HINT = "leave the file alone while it is read, and make its index anew"


def unpack_deb(
    deb: Path, index: DebIndex, target: Path, *, name: str = "", readable: bool = False
) -> None:
    """Unpack a .deb as a new directory.

    It is made beside its place and then renamed. readable: as of TreeWriter. Raises OcclumError
    `deb-file`, `deb-content`; FileExistsError and OSError at the target.
    """
    with Change() as change:
        root = change.part(target, must_be_new=True)
        root.mkdir()
        with TreeWriter(str(root), readable=readable) as tree:
            unpack_files(deb, index, tree, name=name)
            tree.add_entries(index.entries)
        change.commit()


def unpack_files(
    deb: Path,
    index: DebIndex,
    tree: TreeWriter,
    wanted: Collection[str] | None = None,
    *,
    name: str = "",
) -> None:
    """Add all files of a .deb to a tree, or those at the wanted paths; no links and directories.

    Raises OcclumError `deb-file`; `deb-content` where it is not what the index says.
    """
    unpacking = _Unpacking(index, wanted, name or str(deb))
    if not unpacking.wanted:
        return
    with opened(deb, name) as opened_deb:
        for member, chunks in entries_of(opened_deb.data):
            if member.kind in (FILE_MEMBER, HARD_LINK):
                unpacking.take(member, chunks, tree)
    unpacking.check_complete()


def contents_of_deb(
    deb: Path, index: DebIndex, wanted: Collection[str], limit: int, *, name: str = ""
) -> dict[str, bytes]:
    """The contents of files of a .deb by path, each of at most `limit` bytes; raises as above."""
    found: dict[str, bytes] = {}
    unpacking = _Unpacking(index, wanted, name or str(deb))
    for path, entry in unpacking.wanted.items():
        if entry.size > limit:
            message = f"{path} in it has more than {shown_bytes(limit)}"
            raise OcclumError(CODE, message, place=Place(name or str(deb)))
    with opened(deb, name) as opened_deb:
        for member, chunks in entries_of(opened_deb.data):
            path = unpacking.due(member) if member.kind == FILE_MEMBER else ""
            if path:
                found[path] = b"".join(unpacking.compared(path, chunks))
    for path in wanted:
        same = (one for one in found if index.entries[one].sha256 == index.entries[path].sha256)
        if path not in found:
            found[path] = found[next(same)]
    return found


class _Same(NamedTuple):
    """What one inode can be of: equal content and mode."""

    sha256: str
    mode: int


class _Unpacking:
    """Which wanted file gets the content that comes next."""

    def __init__(self, index: DebIndex, wanted: Collection[str] | None, name: str) -> None:
        self._index = index
        self._name = name
        self.wanted = {path: one for path, one in index.entries.items() if one.type == FILE}
        if wanted is not None:
            missing = [path for path in wanted if path not in self.wanted]
            if missing:
                message = f"{some(missing)} are wanted, and no files in it"
                raise OcclumError(CODE, message, place=Place(name))
            self.wanted = {path: self.wanted[path] for path in wanted}
        self._left = dict(self.wanted)
        # Of files, whose own member may not be wanted but that of a hard link to them.
        self._waiting: dict[_Same, list[str]] = {}
        for path in sorted(self.wanted, reverse=True):
            self._waiting.setdefault(_same(self.wanted[path]), []).append(path)
        self._written: dict[_Same, str] = {}

    def take(self, member: Member, chunks: Iterator[bytes], tree: TreeWriter) -> None:
        path = canonical(member.name, self._index.merged_usr)
        if member.kind == HARD_LINK:
            entry = self._left.get(path)
            if entry is not None and (written := self._written.get(_same(entry))):
                if not tree.hard_link(path, written):
                    self._written[_same(entry)] = path  # which can have links again
                del self._left[path]
            return
        path = self.due(member)
        if path:
            tree.file(path, self.wanted[path].mode, self.compared(path, chunks))

    def due(self, member: Member) -> str:
        """The path that a file's content is for: its own, or that of a link to it; "" for none."""
        path = canonical(member.name, self._index.merged_usr)
        entry = self._index.entries.get(path)
        if entry is None or entry.type != FILE or entry.size != member.size:
            raise self._differs(path)
        if path not in self.wanted:
            waiting = self._waiting.get(_same(entry), [])
            while waiting and waiting[-1] not in self._left:
                waiting.pop()
            path = waiting[-1] if waiting and _same(entry) not in self._written else ""
        return path if path in self._left else ""

    def compared(self, path: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks, with an error behind the last one where they are another content."""
        entry = self.wanted[path]
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != entry.sha256:
            raise self._differs(path)
        del self._left[path]
        self._written.setdefault(_same(entry), path)

    def check_complete(self) -> None:
        if self._left:
            message = f"{some(sorted(self._left))} are in its index, but not in it"
            raise OcclumError(CODE, message, place=Place(self._name), hint=_HINT)

    def _differs(self, path: str) -> OcclumError:
        message = f"{path} in it is not what the index of {self._index.name} says"
        return OcclumError(CODE, message, place=Place(self._name), hint=_HINT)


def _same(entry: Entry) -> _Same:
    return _Same(entry.sha256, entry.mode)
