"""Which files of the project go into images: each needs a target that owns it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from occlum_build.bom.load import load_boms
from occlum_build.bom.operations import bom_operations
from occlum_build.errors import OcclumError, Place, Report
from occlum_build.switch.model import BomUse, Told
from occlum_build.switch.places import is_below
from occlum_build.switch.tree import BomFile, Tree

_MOST_TOLD = 200
_MOST_BOMS = 20_000  # that are included, each once for each BOM that a script uses


class Sources:
    """Patterns of `files` targets by directory, and what was not found."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.patterns: dict[str, set[str]] = {}
        self.told: list[Told] = []
        self.boms = 0
        self._seen: set[tuple[str, str]] = set()

    def add(self, path: str, place: Place) -> None:
        """A file, a directory or a pattern of a BOM."""
        if path.startswith("/") or (path, place.file) in self._seen:
            return
        self._seen.add((path, place.file))
        home = posixpath.dirname(place.file)
        if path in self.tree.files:
            if path not in self.tree.boms:  # which have targets
                self._own(path, home)
        elif self.tree.folder and not is_below(path, self.tree.folder):
            todo = "have a target own it (files), or name a directory that has it, too"
            self.tell(
                place,
                f"{path or self.tree.root} is not in {self.tree.folder}, which was looked at",
                todo,
            )
        elif path in self.tree.directories:
            self._own(posixpath.join(path, "**/*"), home)
        elif any(parent in self.tree.links for parent in _with_parents(path)):
            todo = "have a target own it (files), as links to directories are not followed here"
            self.tell(place, f"{path} is a link to a directory, or below one", todo)
        elif any(character in path for character in "*?["):
            self._own(path, home)
        else:
            todo = "have a target make it (shell_command, pex_binary), or run this again when it is"
            self.tell(place, f"{path} is not there", todo)

    def tell(self, place: Place, why: str, todo: str) -> None:
        if len(self.told) < _MOST_TOLD:
            self.told.append(Told(place.file, place.line, "", why, todo))

    def _own(self, pattern: str, home: str) -> None:
        """The target is beside the BOM where it can be, else beside the file."""
        inside = not home or pattern.startswith(f"{home}/")
        directory = home if inside else posixpath.dirname(pattern.partition("**")[0].rstrip("/"))
        name = pattern[len(directory) + 1 :] if directory else pattern
        self.patterns.setdefault(directory, set()).add(name)


def _with_parents(path: str) -> Iterator[str]:
    while path:
        yield path
        path = posixpath.dirname(path)


def sources_of(sources: Sources, use: BomUse, workspace: str) -> tuple[str, ...]:
    """Note what a BOM and those that it includes copy from the project; the variables it needs."""
    report, variables = Report(), dict(use.variables)
    boms = load_boms(use.path, use.include_dirs, variables, sources.tree.read, report)
    sources.boms += len(boms)
    if sources.boms > _MOST_BOMS:
        message = f"BOMs that scripts use include more than {_MOST_BOMS:,} others"
        place, hint = Place(use.path), "name a directory with fewer of them"
        raise OcclumError("switch", message, place=place, hint=hint)
    needed: dict[str, None] = {}
    for bom in boms:
        needed.update(dict.fromkeys(BomFile(bom).variables))
        operations = bom_operations(bom, workspace, variables, report)
        for found in operations.dirs:
            sources.add(found.source, found.place)
        for file in operations.files:
            sources.add(file.source, file.place)
    for problem in report.errors:
        if problem.place is not None and "is not defined" not in problem.message:
            sources.tell(problem.place, problem.message, problem.hint or "see docs/bom.md")
    return tuple(needed)
