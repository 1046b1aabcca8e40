"""Carries out the operations of BOMs on the planned image, and tells what conflicts."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Callable, NamedTuple

from occlum_build.bom.excludes import compile_excludes
from occlum_build.bom.looked import Looked
from occlum_build.bom.named_links import KeptLinks, is_named_link
from occlum_build.bom.names import is_utf8
from occlum_build.bom.operations import CopyDir, CopyFile, MakeDir, MakeLink, Operations
from occlum_build.bom.walk import WalkEntry, walk_copy
from occlum_build.bom.wildcards import expand_wildcard
from occlum_build.errors import OcclumError, Report
from occlum_build.image.conflicts import Overrides, check_kind
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry, Origin
from occlum_build.image.merging import Merging
from occlum_build.image.tree import ImageTree
from occlum_build.sources.model import Sources, SourceStat, hint_for_missing, kind_name, resolve

# The mode of an image entry, from its source path and what it has there.
ModeRule = Callable[[str, SourceStat], int]


def keep_mode(_source: str, stat: SourceStat) -> int:
    return stat.mode


def normal_mode(source: str, stat: SourceStat) -> int:
    """Project files are 0644 or 0755 and their directories 0755; host files stay as they are."""
    if source.startswith("/"):
        return stat.mode
    return 0o755 if stat.kind == DIR or stat.mode & 0o100 else 0o644


class Program(NamedTuple):
    """A copied file that may need libraries; one from `files:` must find all of them.

    `autodep` is False where the BOM switched the search for its libraries off.
    """

    source: str
    path: str
    origin: Origin
    required: bool
    autodep: bool = True


class ImageBuilder:
    """Applies the operations of one BOM after the other; mistakes go into the report."""

    def __init__(self, sources: Sources, tree: ImageTree, mode: ModeRule, report: Report) -> None:
        self.sources = sources
        self.tree = tree
        self.mode = mode
        self.report = report
        self.overrides = Overrides(sources)
        self.merging = Merging(tree, self.overrides)
        self._said: dict[str, MakeDir] = {}  # directories whose mode a BOM says
        self._looked = Looked()
        self._matched: dict[CopyDir, list[CopyDir]] = {}
        self._kept: tuple[Sequence[CopyDir], KeptLinks] | None = None  # by these copies

    def apply(self, operations: Operations, of_all: Sequence[CopyDir] = ()) -> list[Program]:
        """Carry out one BOM; the copied files that may be programs, in their order.

        `of_all` are the directory copies of all BOMs.
        """
        copies = of_all or operations.dirs
        for mkdir in operations.mkdirs:
            with self.report.at(mkdir.place):
                self._make_dir(mkdir)
        for link in operations.links:
            with self.report.at(link.place):
                self._make_link(link)
        excluded = compile_excludes(operations.excludes)
        programs: dict[str, Program] = {}
        for copy_dir in operations.dirs:
            here = self.report.at(copy_dir.place)
            origin = Origin(copy_dir.place, in_tree=True)
            self.merging.copies.add(copy_dir.place)
            with here:
                for matched in self._matched_dirs(copy_dir):
                    keep = self._keeps_link(matched, copies)
                    for entry in walk_copy(
                        *(self.sources, matched, excluded, self.report),
                        keep_link=keep,
                        looked=self._looked,
                    ):
                        try:
                            self._copy_entry(entry, matched.path, origin, programs)
                        except OcclumError:
                            with here:  # only now, as there are so many entries
                                raise
        for copy_file in operations.files:
            here = self.report.at(copy_file.place)
            with here:
                for file in self._matched_files(copy_file):
                    with here:
                        self._copy_file(file, programs)
        return list(programs.values())

    def _make_dir(self, operation: MakeDir) -> None:
        origin = Origin(operation.place)
        real = self.make_dirs(operation.path, origin)
        if operation.mode is None:
            return
        self.overrides.note_mode(self._said.get(real), operation, real)
        self._said[real] = operation
        self.tree.put(self.tree.entries[real]._replace(mode=operation.mode))

    def make_dirs(self, path: str, origin: Origin) -> str:
        """Make a directory and its parents, through links; returns its real path."""
        real = self.tree.locate(path, origin.place, follow_last=True)
        unplanned: list[str] = []
        here = real
        while here and not (here in self.tree.entries and self.tree.is_dir(here)):
            unplanned.append(here)
            here = posixpath.dirname(here)
        for directory in reversed(unplanned):
            before = self.tree.lstat(directory)
            mode = before.mode if before is not None and before.kind == DIR else 0o755
            entry = Entry(directory, DIR, origin, mode)
            check_kind(self.tree, entry)
            self.tree.put(entry)
        return real

    def put_file(self, entry: Entry) -> None:
        """Place a file whose parent directory exists."""
        check_kind(self.tree, entry)
        self.overrides.note(self.tree.entries.get(entry.path), entry)
        self._put(entry)

    def _put(self, entry: Entry, before: str | None = None) -> None:
        """Plan an entry, and its parent where that is a directory of the image from before.

        `before` as in `ImageTree.put`.
        """
        parent = entry.path.rpartition("/")[0]
        if parent and parent not in self.tree.entries and self.tree.is_dir(parent):
            self.make_dirs(parent, entry.origin)
        self.tree.put(entry, before)

    def _make_link(self, operation: MakeLink) -> None:
        origin = Origin(operation.place)
        parent = self.make_dirs(posixpath.dirname(operation.path), origin)
        path = posixpath.join(parent, posixpath.basename(operation.path))
        entry = Entry(path, SYMLINK, origin, 0o777, target=operation.target)
        check_kind(self.tree, entry)
        self.overrides.note(self.tree.entries.get(path), entry)
        self.tree.put(entry)

    def _copy_entry(
        self, found: WalkEntry, directory: str, origin: Origin, programs: dict[str, Program]
    ) -> None:
        tree, stat = self.tree, found.stat
        if not found.path:
            path = tree.locate(directory, follow_last=True)
        else:
            path = tree.locate(f"{directory}/{found.path}" if directory else found.path)
        said = self._said.get(path)
        mode = said.mode if said is not None else None
        if mode is None or stat.kind != DIR:
            mode = self.mode(found.source, stat)
        entry = Entry(path, stat.kind, origin, mode, found.source, stat.size, stat.target)
        before = tree.entries.get(path)
        kind = tree.kind(path)
        if before is not None and (before.kind == DIR) != (stat.kind == DIR):
            self.merging.replace(before, entry, found.path)
            programs.pop(path, None)
        elif before is None:
            if kind:
                self.merging.add(entry, found.path)
        else:
            if stat.kind == DIR:
                entry = before._replace(mode=mode, source=found.source)
            else:
                self.overrides.note(before, entry)
            programs.pop(path, None)
        self._put(entry, kind)
        # Where it is known, the many files that are no program are left out from the start.
        if stat.kind == FILE and stat.is_elf_or_zip is not False:
            programs[path] = Program(found.source, path, origin, False)

    def _copy_file(self, operation: CopyFile, programs: dict[str, Program]) -> None:
        place, shown = operation.place, operation.source
        real = resolve(self.sources, shown)
        stat = self.sources.lstat(real) if real is not None else None
        if real is None or stat is None:
            raise self._missing_file(operation)
        if operation.sha256 is not None:
            self._check_hash(operation, real, stat)
        if stat.kind == DIR:
            raise OcclumError(
                "file", f"{shown} is a directory", place=place, hint="directories go under `dirs:`"
            )
        if stat.kind != FILE:
            raise OcclumError(
                "file", f"{shown} is a {kind_name(stat.kind)}, not a file", place=place
            )
        if not is_utf8(operation.path):
            raise OcclumError("file", f"the name {shown} is not UTF-8", place=place)
        origin = Origin(place)
        parent = self.make_dirs(posixpath.dirname(operation.path), origin)
        path = self._into_linked_dir(
            posixpath.join(parent, posixpath.basename(operation.path)), shown
        )
        mode = self.mode(real, stat)
        self.put_file(Entry(path, FILE, origin, mode, real, stat.size))
        programs.pop(path, None)
        programs[path] = Program(real, path, origin, required=True, autodep=operation.autodep)

    def _into_linked_dir(self, path: str, source: str) -> str:
        """A file copied onto a link to a directory goes inside that directory."""
        stat = self.tree.lstat(path)
        if stat is None or stat.kind != SYMLINK:
            return path
        real = self.tree.locate(path, follow_last=True)
        return posixpath.join(real, posixpath.basename(source)) if self.tree.is_dir(real) else path

    def _missing_file(self, operation: CopyFile) -> OcclumError:
        link = resolve(self.sources, operation.source, follow_last=False)
        stat = self.sources.lstat(link) if link is not None else None
        if operation.sha256 is not None:
            code, message = "hash-missing", f"there is no file {operation.source} to hash"
        elif stat is not None:
            code, message = "file", f"the link {operation.source} -> {stat.target} dangles"
        else:
            code, message = "file", f"there is no file {operation.source}"
        if stat is not None:
            hint = "`files` follows links; copy the link with `dirs`, or make it with `createlinks`"
            return OcclumError(code, message, place=operation.place, hint=hint)
        return OcclumError(
            code,
            message,
            place=operation.place,
            hint=hint_for_missing(
                self.sources, operation.source, operation.base, len(self.report.errors)
            ),
            missing=(operation.source,),
        )

    def _check_hash(self, operation: CopyFile, real: str, stat: SourceStat) -> None:
        if stat.kind != FILE:
            raise OcclumError(
                "hash",
                f"{operation.source} is a {kind_name(stat.kind)} and has no hash",
                place=operation.place,
                hint="leave `hash` out, or name a file",
            )
        actual = self.sources.sha256(real)
        if actual != operation.sha256:
            raise OcclumError(
                "hash",
                f"{operation.source} has not the hash that is due, {operation.sha256}",
                place=operation.place,
                hint=f"its SHA-256 is {actual}",
            )

    def _matched_dirs(self, operation: CopyDir) -> list[CopyDir]:
        if not operation.wildcard:
            return [operation]
        if operation not in self._matched:
            found = self._expand(operation)
            copies = [operation._replace(source=source) for source in found]
            self._matched[operation] = copies or [operation]
        return self._matched[operation]

    def _expand(self, operation: CopyDir | CopyFile) -> list[str]:
        return expand_wildcard(self.sources, operation.source, operation.base, self._looked)

    def _keeps_link(self, copy: CopyDir, copies: Sequence[CopyDir]) -> bool:
        if not is_named_link(self.sources, copy):
            return False
        path = self.tree.locate(posixpath.join(copy.path, posixpath.basename(copy.source)))
        planned = self.tree.entries.get(path)
        if planned is not None and planned.kind == SYMLINK:
            return True
        if self._kept is None or self._kept[0] is not copies:
            every = (one for other in copies for one in self._matched_dirs(other))
            self._kept = copies, KeptLinks(self.sources, every)
        return self._kept[1].keeps(copy)

    def _matched_files(self, operation: CopyFile) -> list[CopyFile]:
        if not operation.wildcard:
            return [operation]
        found = self._expand(operation)
        name = posixpath.basename(operation.source)
        if posixpath.basename(operation.path) == name:  # not renamed
            directory = posixpath.dirname(operation.path)
            return [
                operation._replace(
                    source=source,
                    path=posixpath.join(directory, posixpath.basename(source)),
                )
                for source in found or [operation.source]
            ]
        if len(found) > 1:
            message = (
                f"{operation.source} matches {len(found)} files, which cannot all have one name"
            )
            raise OcclumError("file", message, place=operation.place, hint="leave out `rename`")
        return [operation._replace(source=source) for source in found] or [operation]
