"""What is told of libraries that were not found: one problem a library, however many need it."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from occlum_build.elf.closure import Closure, Lacking, Missing, group_lacking
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.linker import Linker
from occlum_build.elf.lookup import mismatch
from occlum_build.errors import ERROR, MOST_TOLD, NOTE, WARNING, Place, Problem
from occlum_build.image.builder import Program
from occlum_build.image.entries import FILE, SYMLINK
from occlum_build.image.tree import ImageTree
from occlum_build.shown import Lines, some, who
from occlum_build.sources.model import Sources

CODE, ELSEWHERE, VERSION = "libraries", "library-elsewhere", "library-version"
ALONE = "`autodep: false` of who needs it leaves its libraries to you"


class Elsewhere(NamedTuple):
    """A library that the image has where the loader of who needs it does not look.

    `needers` are source paths, `paths` those of the image, sorted. `is_sure` says that a program
    needs it, or a file that the BOM names: others may be loaded by who has loaded it before.
    `origins` are the directories in the image of the programs that need it.
    """

    name: str
    needers: tuple[str, ...]
    paths: tuple[str, ...]
    place: Place | None = None
    is_sure: bool = True
    origins: tuple[str, ...] = ()

    def problem(self, severity: str = "") -> Problem:
        """A warning where it is sure, else a note."""
        text = (
            f"library {self.name}, needed by {who(self.needers)}, is in the image at "
            f"{some(self.paths, 1)}, where the loader does not look"
        )
        setting = library_path_setting(self.paths[0])
        if self.is_sure:
            hint = f"{setting}, or copy the library to where the loader looks; {ALONE}"
        else:
            hint = f"fine if who loads them has loaded {self.name} before; otherwise {setting}"
        severity = severity or (WARNING if self.is_sure else NOTE)
        return Problem(ELSEWHERE, text, self.place, hint, severity=severity)


@dataclass(frozen=True)
class Searched:
    """What the search for libraries leaves to know about an image; paths are absolute in it.

    `required` are files that must find their libraries, `left_alone` those that are not asked for
    them, `refused` those of which is told that nothing loads them; `told` are names of libraries
    that are missing, and told of or allowed to be. `cpu_level` is the x86-64 level whose libraries
    may be taken.
    """

    required: frozenset[str] = frozenset()
    left_alone: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    elsewhere: tuple[Elsewhere, ...] = ()
    cpu_level: str = "baseline"


class ImageLibraries:
    """Where a planned image has a library of a name, also by a link."""

    def __init__(self, tree: ImageTree, sources: Sources) -> None:
        self._tree, self._sources = tree, sources

    def paths(self, name: str, like: ElfFacts | None) -> tuple[str, ...]:
        """The sorted absolute paths; none for a name with a slash, which is no search for it.

        What was found for another program is there for that alone, and may go with it.
        """
        entries = self._tree.entries
        named = [path for path in self._by_name.get(name, ()) if not entries[path].is_library]
        found = {*named, *self._tree.base.named(name)}
        return tuple(f"/{path}" for path in sorted(found) if self._is_library(path, like))

    def files(self, name: str) -> tuple[str, ...]:
        """The sorted absolute paths of whatever has the name."""
        return tuple(f"/{path}" for path in sorted(self._by_name.get(name, ())))

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        by_name: dict[str, list[str]] = {}
        for path, entry in self._tree.entries.items():
            if entry.kind in (FILE, SYMLINK):
                by_name.setdefault(posixpath.basename(path), []).append(path)
        return by_name

    def _is_library(self, path: str, like: ElfFacts | None) -> bool:
        source = self._tree.file_source(path)
        facts = self._sources.facts(source) if source is not None else None
        return like is not None and not mismatch(facts, like)


class _Lack(NamedTuple):
    missing: Missing
    program: Program
    closure: Closure
    linker: Linker

    @property
    def is_program(self) -> bool:
        facts = self.closure.program.facts
        return bool(facts and facts.interpreter)

    @property
    def is_sure(self) -> bool:
        return self.program.required or self.is_program


class MissingLibraries:
    """Collects what the programs of an image lack; told when all is placed.

    `left_alone` has the image paths of those that are not asked: the last copy to a path counts.
    """

    def __init__(self, allowed: Collection[str] = ()) -> None:
        self._allowed = allowed
        self._by_name: dict[str, list[_Lack]] = {}
        self._lacking: list[tuple[Place | None, Lacking]] = []
        self._absent: Counter[str] = Counter()  # problems by their severity
        self.elsewhere: list[Elsewhere] = []
        self.left_alone: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """The names of the libraries that are missing, or may be."""
        return frozenset([*self._by_name, *self._allowed])

    def add(self, closure: Closure, program: Program, linker: Linker) -> None:
        for missing in closure.missing:
            if missing.name not in self._allowed:
                lack = _Lack(missing, program, closure, linker)
                self._by_name.setdefault(missing.name, []).append(lack)
        if not program.required:  # others are asked again when the image is known
            self._lacking += [(program.origin.place, one) for one in closure.lacking]

    def problems(self, image: ImageLibraries) -> list[Problem]:
        """One for each library, in the order in which they were missed."""
        missing = [self._problem(name, lacks, image) for name, lacks in self._by_name.items()]
        lacking = group_lacking(self._lacking)
        return [*missing, *(version_problem(*one, is_required=False) for one in lacking)]

    def _problem(self, name: str, lacks: Sequence[_Lack], image: ImageLibraries) -> Problem:
        first = next((one for one in lacks if one.program.required), lacks[0])
        place = first.program.origin.place
        needers = tuple(dict.fromkeys(one.missing.chain[-1] for one in lacks))
        paths = image.paths(name, first.closure.program.facts)
        if paths:
            is_sure = any(one.is_sure for one in lacks)
            programs = {one.closure.program.image_path for one in lacks if one.is_program}
            origins = tuple(sorted({posixpath.dirname(path) for path in programs}))
            self.elsewhere.append(Elsewhere(name, needers, paths, place, is_sure, origins))
            return self.elsewhere[-1].problem()
        problem = first.missing.problem()
        others = [one for one in needers if one != first.missing.chain[-1]]
        if others:
            head, needed_by, *searched = first.missing.text().lines
            message = Lines(head, needed_by, f"  as well as by {who(others)}", *searched)
            problem = replace(problem, message=message)
        severity = ERROR if first.program.required else WARNING
        self._absent[severity] += 1
        hint = problem.hint
        if not hint and self._absent[severity] <= MOST_TOLD:
            hint = hint_for_absent(first.missing, first.closure, first.linker, image)
        return replace(problem, place=place, hint=hint, severity=severity)


def version_problem(place: Place | None, lacks: Sequence[Lacking], *, is_required: bool) -> Problem:
    """The problem of a library that lacks versions: an error where the loader is sure to stop."""
    versions = sorted({version for one in lacks for version in one.versions})
    needers = who(one.needer for one in lacks)
    text = f"{lacks[0].library} lacks {', '.join(versions)}, needed by {needers}"
    hint = "build what needs it on a system whose library is no newer, or copy a newer one"
    is_error = is_required and all(one.is_fatal for one in lacks)
    return Problem(VERSION, text, place, hint, severity=ERROR if is_error else WARNING)


def library_path_setting(path: str) -> str:
    """What to do that a loader also looks where the image has a library, at an absolute path."""
    return f"set LD_LIBRARY_PATH={posixpath.dirname(path)} (in `env.default` of Occlum.json)"


def hint_for_absent(
    missing: Missing,
    closure: Closure,
    linker: Linker,
    image: ImageLibraries,
    needer: str = "program",
) -> str:
    """What to do about a library that the image lacks: also where the system has it."""
    alone = f"copy the {needer} with `autodep: false`"
    system = linker.elsewhere(missing.name, closure)
    if system:
        entry = closure.interpreter.entry if closure.interpreter else None
        whose = "the loader of the loader config" if entry else "its loader"
        there = entry.image_dir if entry else "a directory where that looks"
        return (
            f"the system has it at {system}, where {whose} does not look: copy it to {there} "
            f"by `files`, or {alone}"
        )
    files = image.files(posixpath.basename(missing.name))
    if files:
        return (
            f"the image has {files[0]}, where the loader does not look for it, or which is no "
            f"library for this machine; copy the right one there, or {alone}"
        )
    return f"install it, name it under `files`, or {alone}"
