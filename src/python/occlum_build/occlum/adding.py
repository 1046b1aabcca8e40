"""What is put into trees that others made: below real directories alone, never through a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Callable

from occlum_build.errors import OcclumError, Place
from occlum_build.files.change import Change
from occlum_build.occlum.entries import TreeEntry, merged, write
from occlum_build.sources.model import DIR, FIFO, FILE, OTHER, SYMLINK, kind_name

_MAKE_DIRECTORY = "make it a directory, or remove it"
_KINDS = {stat.S_IFDIR: DIR, stat.S_IFREG: FILE, stat.S_IFLNK: SYMLINK, stat.S_IFIFO: FIFO}
# Gives the kind of what stands at a path of a tree, links not followed; None where nothing is.
_KindAt = Callable[[str], "str | None"]


def with_added(
    base: Iterable[TreeEntry], added: Iterable[TreeEntry], where: str
) -> tuple[TreeEntry, ...]:
    """The entries of a tree and what is put into it, as `merged`; `where` is the tree in errors.

    Raises OcclumError `tree` for something in the way: what `check_room` raises.
    """
    own, new = list(base), list(added)
    check_room(new, {entry.path: entry.kind for entry in own}.get, where)
    return merged(own, new)


def check_room(added: Iterable[TreeEntry], kind_at: _KindAt, where: str) -> None:
    """Is there room for entries? OcclumError `tree` for the first that stands in their way.

    That is what is no directory above an entry, links too, a directory where a file belongs, and
    anything else where a directory belongs.
    """
    for entry in sorted(added, key=lambda one: one.path):
        above = _above(entry.path)
        for path in [*above, entry.path] if entry.kind == DIR else above:
            kind = kind_at(path)
            if kind is None:
                break
            if kind != DIR:
                message = f"is a {kind_name(kind)}, where a directory belongs"
                place = Place(os.path.join(where, path))
                raise OcclumError("tree", message, place=place, hint=_MAKE_DIRECTORY)
        else:
            if entry.kind != DIR and kind_at(entry.path) == DIR:
                raise OcclumError(
                    "tree",
                    "is a directory, where a file belongs",
                    place=Place(os.path.join(where, entry.path)),
                    hint="remove it, or give it another name",
                )


def _above(path: str) -> list[str]:
    """The directories above a path, from the top."""
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def kinds_below(root: Path) -> _KindAt:
    """What stands in a directory, as `check_room` asks for it; a path's parents are asked first."""

    def kind_at(path: str) -> str | None:
        try:
            mode = os.lstat(root / path).st_mode
        except FileNotFoundError:
            return None
        return _KINDS.get(stat.S_IFMT(mode), OTHER)

    return kind_at


def real_directories(entries: Iterable[TreeEntry], root: Path) -> Iterator[Path]:
    """The directories among entries that are there, each by real directories alone."""
    kind_at = kinds_below(root)
    for entry in entries:
        if entry.kind == DIR:
            way = [*_above(entry.path), entry.path]
            if all(kind_at(path) == DIR for path in way):
                yield root / entry.path


def install(entries: Iterable[TreeEntry], root: Path) -> None:
    """Write entries into an existing directory as one change; what is there is replaced.

    Directories that are there are kept with what else is in them. Raises as `write` does, and what
    `check_room` raises.
    """
    ordered = sorted(entries, key=lambda entry: entry.path)
    kind_at = kinds_below(root)
    try:
        check_room(ordered, kind_at, str(root))
        kept = [one for one in ordered if one.kind == DIR and kind_at(one.path) == DIR]
        with Change() as change:
            for group in _new_things(ordered, {one.path for one in kept}):
                top = group[0].path
                part = change.part(root / top)
                moved = [replace(one, path=part.name + one.path[len(top) :]) for one in group]
                write(moved, part.parent)
            with _modes_of(kept, root):
                change.commit()
    except OSError as error:
        message = error.strerror or "cannot be written"
        raise OcclumError("tree", message, place=Place(str(error.filename or root))) from error


def _new_things(ordered: list[TreeEntry], kept: set[str]) -> list[list[TreeEntry]]:
    """What is not kept: files and links, and directories with all that is below them."""
    groups: dict[str, list[TreeEntry]] = {}
    for entry in ordered:
        if entry.path in kept:
            continue
        top = above = entry.path
        while above := os.path.dirname(above):
            top = above if above in groups else top
        groups.setdefault(top, []).append(entry)
    return list(groups.values())


@contextmanager
def _modes_of(entries: list[TreeEntry], root: Path) -> Iterator[None]:
    """The modes that kept directories are to have, unless the body fails."""
    before: list[tuple[Path, int]] = []
    try:
        for entry in entries:
            path = root / entry.path
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode != entry.mode:
                before.append((path, mode))
                path.chmod(entry.mode)
        yield
    except BaseException:
        for path, mode in before:
            with suppress(OSError):
                path.chmod(mode)
        raise
