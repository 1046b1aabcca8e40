"""An instance in archives: which members it is made of, and these as files in a directory of ours.

Archives of others may have any names, links and sizes. Directories and files are made by names in
normal form, links are only noted, and nothing is written through one.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from occlum_build.errors import OcclumError, Place
from occlum_build.files import tar_reader
from occlum_build.files.compressed import BadArchive, NeedsPackage
from occlum_build.files.reading import READ_FLAGS
from occlum_build.files.tar_reader import DIR, FILE, HARD_LINK, SYMLINK, Member
from occlum_build.files.trees import PATH_BYTES
from occlum_build.occlum.archive_tree import clean
from occlum_build.occlum.instance import SIGNED_LIBOS
from occlum_build.sources.model import OTHER
from occlum_build.verify.files import CODE, Files, Found, too_large
from occlum_build.verify.rows import Table
from occlum_build.verify.whiteouts import (
    Order,
    is_astray,
    is_below_whiteout,
    is_no_name,
    is_usual,
    is_whiteout,
    removed_name,
)

_SIGNED = f"build/{SIGNED_LIBOS}"
_NAME_BYTES = 255
_MOST_AMBIGUOUS = 10
# A name may have 2,000 directories that have no member of their own.
MAX_NODES = 2 * tar_reader.MAX_MEMBERS
# Each of the directories of a deep name has a name that is nearly as long.
MAX_PATH_BYTES = 4 * tar_reader.MAX_NAME_BYTES
# Directories in one another in which a file is unpacked: each costs the more, the deeper it is.
MAX_DEPTH = 200
_UNREAD = "run/"  # of what enclaves wrote nothing but the names is looked at
_KINDS = {FILE: FILE, DIR: DIR, SYMLINK: SYMLINK}


class _Node:
    """What stands at a place: a member of an archive by its number, or a directory without one."""

    __slots__ = ("archive", "below", "member")

    def __init__(self) -> None:
        self.archive = -1
        self.member: Member | None = None
        self.below: dict[str, _Node] = {}


@dataclass
class Merged:
    """The tree that archives make when they are unpacked one over the other.

    Names that different programs unpack to different trees: `astray` are those below a link or a
    file, or above the top; `odd` those that come twice, or are not in normal form.
    """

    top: _Node = field(default_factory=_Node)
    astray: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    archives: int = 0
    _nodes: int = 0
    _name_bytes: int = 0

    def add(self, members: Sequence[Member], *, is_layer: bool = False) -> None:
        """Unpack one more archive; `is_layer`: names that begin with `.wh.` remove others.

        Raises OcclumError `verify` where all of them hold more than one archive may.
        """
        if is_layer and any(map(is_whiteout, members)):
            members = self._removed(members)
        seen: dict[str, Member] = {}
        for member in members:
            self._take(member)
            name = clean(member.name)
            if name in ("", "."):
                continue
            if is_layer and is_below_whiteout(name):
                self.astray.append(member.name)
            before = seen.get(name)
            is_again = before is not None and (before.kind, member.kind) != (DIR, DIR)
            if is_again or not _is_normal(member, name):
                self.odd.append(member.name)
            if member.kind == HARD_LINK:
                member = seen.get(clean(member.link), member)
            seen[name] = member
            self._put(name, member)
        self.archives += 1

    def _take(self, member: Member) -> None:
        self._name_bytes += len(member.name) + len(member.link)
        self._check_bounds()

    def _check_bounds(self, more: int = 0) -> None:
        """There may be `more` nodes than those of the tree."""
        if self._nodes + more > MAX_NODES or self._name_bytes > tar_reader.MAX_NAME_BYTES:
            raise OcclumError(CODE, "the archives hold more names than are read")

    def _removed(self, members: Sequence[Member]) -> list[Member]:
        """Apply the whiteouts of a layer to what is below it; all its other members."""
        order, kept = Order(), []
        for member in members:
            self._check_bounds(order.count)
            name = clean(member.name)
            if _is_above(name):
                self.astray.append(member.name)
            elif is_whiteout(member):
                self._take(member)
                self._remove(posixpath.dirname(name), member, order)
            else:
                kept.append(member)
                if name not in ("", ".") and not order.put(name, member.kind):
                    self.odd.append(member.name)
        return kept

    def _put(self, name: str, member: Member) -> None:
        if _is_above(name):
            self.astray.append(member.name)
            return
        node = self.top
        for part in name.split("/"):
            if node.member is not None and node.member.kind != DIR:
                self.astray.append(member.name)
                return
            if part not in node.below:
                node.below[part] = _Node()
                self._nodes += 1
            node = node.below[part]
        if member.kind != DIR:
            node.below = {}
        node.archive, node.member = self.archives, member

    def _remove(self, folder: str, member: Member, order: Order) -> None:
        parts = folder.split("/") if folder else []
        name = removed_name(member)
        nodes: list[_Node | None] = [self.top]
        for part in parts:
            last = nodes[-1]
            nodes.append(last.below.get(part) if last is not None else None)
        lower = [one.member.kind if one and one.member else "" for one in nodes[1:]]
        if is_no_name(member) or is_astray(order.kinds(parts), lower):
            self.astray.append(member.name)
            return
        is_first = order.remove(parts, name)
        if not (is_first and is_usual(member) and _is_normal(member, clean(member.name))):
            self.odd.append(member.name)
        node = nodes[-1]
        if node is not None and name:
            node.below.pop(name, None)
        elif node is not None:
            node.below = {}

    def listing(self, prefix: str) -> dict[str, _Node]:
        """All below a directory, by path relative to it; OcclumError `verify` for too many."""
        left = MAX_PATH_BYTES
        node: _Node | None = self.top
        for part in prefix.split("/") if prefix else ():
            node = node.below.get(part) if node is not None else None
        found: dict[str, _Node] = {}
        pending = [("", node)] if node is not None else []
        while pending:
            path, one = pending.pop()
            for name, below in one.below.items():
                inner = f"{path}/{name}" if path else name
                left -= len(inner)
                if left < 0:
                    raise OcclumError(CODE, "the archives hold more names than are read")
                found[inner] = below
                pending.append((inner, below))
        return found


def _is_normal(member: Member, cleaned: str) -> bool:
    name = member.name
    stripped = name[2:] if name.startswith("./") else name
    if member.kind == DIR:  # tar and others take all with a slash at the end for one
        stripped = stripped.rstrip("/")
    return stripped == cleaned and "\0" not in name


def _is_above(name: str) -> bool:
    """Is it above the top, or longer than any path?"""
    return name.startswith("../") or name == ".." or len(name) > PATH_BYTES


def instances_in(members: Sequence[Member]) -> set[str]:
    """The directories that hold a signed libOS."""
    names = (clean(member.name) for member in members)
    return {
        name[: -len(_SIGNED)].rstrip("/")
        for name in names
        if f"/{name}".endswith(f"/{_SIGNED}") and not name.startswith("..")
    }


@contextmanager
def opened(path: Path, name: str = "") -> Iterator[BinaryIO]:
    """A regular file as a stream for the readers of archives; their errors as OcclumError."""
    place = Place(name or str(path))
    try:
        descriptor = os.open(path, READ_FLAGS)
        with open(descriptor, "rb") as stream:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadArchive("it is not a regular file")
            yield stream
    except NeedsPackage as error:
        hint = "pip install 'occlum-build[zstd]'"
        raise OcclumError(CODE, str(error), place=place, hint=hint) from error
    except BadArchive as error:
        raise OcclumError(CODE, f"no usable tar archive: {error}", place=place) from error
    except OSError as error:
        raise OcclumError(CODE, error.strerror or "cannot be read", place=place) from error


def unpack(archives: Sequence[Path], merged: Merged, prefix: str, out: Path) -> Files:
    """Write the files of the instance at `prefix` below the empty directory `out`.

    Raises OcclumError `verify` for more bytes than an archive may hold, and names that no file has.
    """
    listing = merged.listing(prefix)
    wanted: dict[int, dict[Member, list[str]]] = {}
    total = 0
    for path, node in listing.items():
        _check_name(path)
        if node.member is not None and node.member.kind == FILE and not path.startswith(_UNREAD):
            if path.count("/") > MAX_DEPTH:
                message = f"the archive has a file below more than {MAX_DEPTH} directories"
                raise OcclumError(CODE, message, hint="verify the instance that it was made of")
            total += node.member.size
            wanted.setdefault(node.archive, {}).setdefault(node.member, []).append(path)
    if total > tar_reader.MAX_BYTES:
        raise too_large(archives[0], tar_reader.MAX_BYTES)
    _make_directories(
        [path for of in wanted.values() for paths in of.values() for path in paths], out
    )
    for number, members in sorted(wanted.items()):
        with opened(archives[number]) as stream:
            found = tar_reader.contents_of(stream, members, tar_reader.MAX_BYTES)
            for member, chunks in found:
                _write(out, members[member], chunks)
    return Files(out, {path: _found(node) for path, node in sorted(listing.items())})


def _check_name(path: str) -> None:
    name = posixpath.basename(path)
    if "\0" in name or len(os.fsencode(name)) > _NAME_BYTES or name == "..":
        raise OcclumError(CODE, "the archive has a name that no file can have")


def _make_directories(paths: Iterable[str], out: Path) -> None:
    """Those that files are unpacked to; of all others the names are enough."""
    made = {""}
    for path in sorted(paths):
        left, folder = [], posixpath.dirname(path)
        while folder not in made:
            made.add(folder)
            left.append(folder)
            folder = posixpath.dirname(folder)
        for one in reversed(left):
            os.mkdir(out / one)


def _write(out: Path, paths: Sequence[str], chunks: Iterator[bytes]) -> None:
    first, *others = (out / path for path in paths)
    with open(first, "xb") as file:
        file.writelines(chunks)
    for other in others:
        os.link(first, other)


def _found(node: _Node) -> Found:
    if node.member is None:
        return Found(DIR)
    return Found(_KINDS.get(node.member.kind, OTHER), node.member.link)


def check_names(merged: Merged, prefix: str, table: Table, about: str) -> None:
    """Rows of names by which a program may see another instance at `prefix` than this one does.

    A name astray may lead anywhere; an odd one counts where the instance is, or above it.
    """
    odd = [name for name in merged.odd if _is_near(clean(name), prefix)]
    for name in [*merged.astray, *odd][:_MOST_AMBIGUOUS]:
        table.differs(
            about,
            "names in the archive",
            "it stands there twice, below a link or file, or not in normal form: programs differ in"
            " what they unpack of it",
            stated=name,
        )


def _is_near(name: str, prefix: str) -> bool:
    return not prefix or f"{name}/".startswith(f"{prefix}/") or f"{prefix}/".startswith(f"{name}/")
