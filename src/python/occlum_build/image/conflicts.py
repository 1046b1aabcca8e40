"""Two claims on one path: an error when their types differ, a warning when one overrides."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from occlum_build.bom.operations import CopyDir, MakeDir, Operations
from occlum_build.errors import ERROR, WARNING, OcclumError, Place, Problem, Report
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.image.tree import ImageTree
from occlum_build.shown import some
from occlum_build.sources.model import Sources, weigh

_NAMES = {DIR: "directory", FILE: "file", SYMLINK: "link"}


def check_kind(tree: ImageTree, entry: Entry, path: str = "") -> None:
    """Refuse a directory where something else stands, and anything else where a directory stands.

    `path` is that of a copied entry in its copy. Raises OcclumError with code `directory`, `file`
    or `link`. A link and a file may replace one another, as an included BOM may override so.
    """
    kind = tree.kind(entry.path)
    if not kind or (kind == DIR) == (entry.kind == DIR):
        return
    code = "link" if SYMLINK in (kind, entry.kind) else _CODES[entry.kind]
    before = tree.entries.get(entry.path)
    where = f"at {before.origin}" if before else "there before"
    hint = "empty the image's directory first"
    if before is not None:
        hint = "give one of them another path"
        if (entry if entry.kind == DIR else before).source:
            pattern = f"/{path}/" if path else f"{posixpath.basename(entry.path)}/"
            hint += f', or leave the copied directory out: `excludes: ["{pattern}"]`'
    raise OcclumError(
        code,
        f"the {_NAMES[entry.kind]} /{entry.path} cannot take the place of the "
        f"{_NAMES.get(kind, kind)} {where}",
        place=entry.origin.place,
        hint=hint,
    )


_CODES = {DIR: "directory", FILE: "file", SYMLINK: "link"}


class Overrides:
    """Collects entries that replace another one, and tells them by pairs of BOM lines."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.paths: dict[tuple[Place, Place], list[str]] = {}
        self.merged: dict[tuple[Place, Place], list[tuple[Entry, Entry, str]]] = {}

    def note(self, before: Entry | None, after: Entry) -> None:
        if before is None or self._same(before, after):
            return
        key = (before.origin.place, after.origin.place)
        self.paths.setdefault(key, []).append("/" + after.path)

    def note_merge(self, before: Entry, after: Entry, path: str) -> None:
        """Two copied directories have something of another kind at one path; `path` in the copy."""
        key = (before.origin.place, after.origin.place)
        self.merged.setdefault(key, []).append((before, after, path))

    def note_mode(self, before: MakeDir | None, after: MakeDir, path: str) -> None:
        """Note that a line says another mode for a directory than an earlier one."""
        if before is not None and before.mode != after.mode:
            self.paths.setdefault((before.place, after.place), []).append("/" + path)

    def report(self, report: Report, *, as_errors: bool) -> None:
        for (before, after), paths in sorted(self.paths.items()):
            message = f"overrides what {before} puts at {some(paths)}"
            severity = ERROR if as_errors else WARNING
            report.add(Problem("override", message, after, severity=severity))
        for (_, place), found in sorted(self.merged.items(), key=lambda item: item[0]):
            message, hint = _merge_text(found)
            severity = ERROR if as_errors else WARNING
            report.add(Problem("override", message, place, hint, severity=severity))

    def _same(self, before: Entry, after: Entry) -> bool:
        if before.kind != after.kind:
            return False
        if before.kind == SYMLINK:
            return before.target == after.target
        if before.source == after.source:
            return True
        weigh(self.sources, before.source)
        weigh(self.sources, after.source)
        return before.size == after.size and (
            self.sources.sha256(before.source) == self.sources.sha256(after.source)
        )


def _merge_text(found: Sequence[tuple[Entry, Entry, str]]) -> tuple[str, str]:
    """The message and the hint for merges of the same two lines."""
    before, after, path = found[0]
    others = len(found) - 1
    entries = f"and so do {others} more entries" if others > 1 else "and so does another entry"
    more = f", {entries}" if others else ""
    message = (
        f"the {_NAMES[after.kind]} /{after.path} takes the place of the {_NAMES[before.kind]} "
        f"that {before.origin.place} copies{more}"
    )
    return message, f'as with copy_bom; `excludes: ["/{path}/"]` leaves the directory out'


def drop_overridden_dirs(boms: Sequence[Operations], report: Report) -> list[Operations]:
    """Leave out directory copies that a later BOM overrides.

    Copies of one name to one place are merged within a BOM, but between BOMs the last one wins, as
    an included BOM means to replace the directory and not to add to it.
    """
    last: dict[tuple[str, str, bool], tuple[int, CopyDir]] = {}
    for number, operations in enumerate(boms):
        last.update({_dir_key(copy): (number, copy) for copy in operations.dirs})
    kept: list[Operations] = []
    for number, operations in enumerate(boms):
        dirs: list[CopyDir] = []
        for copy in operations.dirs:
            winner, by = last[_dir_key(copy)]
            if winner == number or copy.wildcard:
                dirs.append(copy)
            elif copy.source != by.source:
                report.warn(
                    "override", f"overrides the whole directory that {copy.place} copies", by.place
                )
        kept.append(operations._replace(dirs=tuple(dirs)))
    return kept


def _dir_key(copy: CopyDir) -> tuple[str, str, bool]:
    return copy.path, posixpath.basename(copy.source), copy.contents_only
