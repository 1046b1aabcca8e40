"""The libraries that the ELF files in zip archives need: of a pex, a wheel or a jar.

An archive may hold files that nobody loads here, so that what is missing is only a warning.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping, Sequence

from occlum_build.elf.closure import Closure, Missing, group_lacking
from occlum_build.elf.facts import Archive, ElfFacts
from occlum_build.elf.interpreter import (
    GLIBC_LOADER,
    MUSL_LOADER,
    OTHER_LOADER,
    libc_of,
    libc_of_loader,
)
from occlum_build.elf.linker import Linker
from occlum_build.elf.placement import placements
from occlum_build.errors import WARNING, Problem
from occlum_build.image.archive_sources import ArchiveSources
from occlum_build.image.autodep import LibraryFinder
from occlum_build.image.builder import Program
from occlum_build.image.missing import (
    Elsewhere,
    ImageLibraries,
    hint_for_absent,
    version_problem,
)
from occlum_build.image.shebang import PROGRAM_DIRECTORIES, interpreter_problem
from occlum_build.shown import Lines
from occlum_build.sources.model import Sources

_NAMES = {GLIBC_LOADER: "glibc", MUSL_LOADER: "musl", OTHER_LOADER: "another libc"}


def libcs_of(programs: Iterable[Program], sources: Sources) -> frozenset[str]:
    """The loaders of the libcs that an image's programs have, GLIBC_LOADER and MUSL_LOADER."""
    facts = (sources.facts(program.source) for program in programs)
    found = {libc_of(one) for one in facts if one is not None and one.interpreter}
    return frozenset(found & {GLIBC_LOADER, MUSL_LOADER})


def add_archives(
    finder: LibraryFinder,
    programs: Sequence[Program],
    libcs: frozenset[str],
    companion: str,
    allow_missing: Collection[str],
) -> None:
    """Place what the archives among one BOM's copied files need; all else is told as warnings.

    `libcs` are those of the image's programs: ELF files for another one are passed over. Without
    any, that of the sysroot counts, glibc before musl.
    """
    sources = finder.builder.sources
    found = [(one, sources.archive(one.source)) for one in programs if one.autodep]
    archives = [(program, archive) for program, archive in found if archive is not None]
    if not archives:
        return
    libcs = libcs or _libcs_of_sysroot(finder.linker)
    left_alone = finder.programs_are_left_alone(programs)
    _Archives(finder, archives, libcs, companion, left_alone, allow_missing).add()


def _libcs_of_sysroot(linker: Linker) -> frozenset[str]:
    for loader in (GLIBC_LOADER, MUSL_LOADER):
        if linker.has_loader(loader):
            return frozenset([loader])
    return frozenset()


def _named_libcs(archive: Archive) -> set[str]:
    """The loaders of the libcs that the files of an archive for this machine name."""
    return {libc_of(facts) for _, facts in archive.members if _is_for_machine(facts)} - {""}


def _is_in_program_directory(path: str) -> bool:
    """A library's directory may have any file that begins with `#!`, which nobody starts."""
    return posixpath.basename(posixpath.dirname(path)) in PROGRAM_DIRECTORIES


def _shown(libcs: Collection[str]) -> str:
    return " and ".join(name for loader, name in _NAMES.items() if loader in libcs)


def _is_for_machine(facts: ElfFacts) -> bool:
    return facts.loadable and (facts.machine, facts.elf_class) == ("EM_X86_64", 64)


class _Archives:
    """The archives of one BOM; `left_alone` as `programs_are_left_alone` of a LibraryFinder."""

    def __init__(
        self,
        finder: LibraryFinder,
        archives: Sequence[tuple[Program, Archive]],
        libcs: frozenset[str],
        companion: str,
        left_alone: bool,
        allow_missing: Collection[str],
    ) -> None:
        self._finder, self._archives = finder, archives
        self._libcs, self._companion, self._left_alone = libcs, companion, left_alone
        self._allow_missing = allow_missing
        self._view = ArchiveSources(
            finder.builder.sources, {program.source: archive for program, archive in archives}
        )
        self._linker = finder.linker_over(self._view)
        self._image = ImageLibraries(finder.builder.tree, finder.builder.sources)

    def add(self) -> None:
        provided = self._provided()
        for program, archive in self._archives:
            self._tell_of(program, archive)
            closures = self._closures(program, archive)
            self._check(program, closures, provided[posixpath.dirname(program.path)])
            self._finder.closures.extend(closures)
            for closure in closures:
                for placement in placements(closure):
                    if not self._view.is_within(placement.source):
                        with self._finder.report:
                            self._finder.place(placement, program)

    def _provided(self) -> Mapping[str, set[str]]:
        """The names of the libraries in the archives of each directory of the image.

        Archives side by side, as the wheels of a packed pex, are unpacked into one place or loaded
        by one program, which then finds in one what another needs.
        """
        provided: dict[str, set[str]] = {}
        for program, archive in self._archives:
            names = provided.setdefault(posixpath.dirname(program.path), set())
            for path, facts in archive.members:
                if self._can_be_loaded(facts):
                    names.update({posixpath.basename(path), facts.soname or ""})
        return provided

    def _can_be_loaded(self, facts: ElfFacts) -> bool:
        return _is_for_machine(facts) and libc_of(facts) in {"", *self._libcs}

    def _companion_of(self, archive: Archive) -> str:
        """The loader by whose rules those of its files are searched for that name no libc."""
        libcs = _named_libcs(archive) & self._libcs
        if self._companion and (not libcs or libc_of_loader(self._companion) in libcs):
            return self._companion
        return MUSL_LOADER if (libcs or self._libcs) == {MUSL_LOADER} else GLIBC_LOADER

    def _closures(self, program: Program, archive: Archive) -> list[Closure]:
        companion = self._companion_of(archive)
        closures = [
            self._finder.close(program, self._linker, companion, f"/{path}")
            for path, facts in archive.members
            if self._can_be_loaded(facts) and not (self._left_alone and not libc_of(facts))
        ]
        return [closure for closure in closures if closure.interpreter is not None]

    def _tell_of(self, program: Program, archive: Archive) -> None:
        texts = [
            f"{program.source} looks like a zip archive, but {one}" for one in archive.problems
        ]
        problems = [Problem("archive", text) for text in texts]
        named = _named_libcs(archive)
        if named and not named & self._libcs:
            problems.append(self._for_another_libc(program, named))
        self._warn("archive", problems, program)
        is_to_be_run = program.required or _is_in_program_directory(program.path)
        tree = self._finder.builder.tree
        problem = interpreter_problem(program.path, archive.interpreter, tree)
        if problem and is_to_be_run:
            self._warn("interpreter", [problem], program)
            self._finder.refused.add("/" + program.path)

    def _for_another_libc(self, program: Program, named: set[str]) -> Problem:
        text = f"{program.source}: the ELF files for x86-64 in it are for {_shown(named)}, but "
        alone = "copy the archive with `autodep: false`"
        if not self._libcs:
            text += "the image has no program, and the sysroot no loader, that tells of its libc"
            return Problem("archive", text, hint=f"install that libc in the sysroot, or {alone}")
        text += f"the image's libc is {_shown(self._libcs)}"
        return Problem("archive", text, hint=f"take one made for {_shown(self._libcs)}, or {alone}")

    def _warn(self, code: str, problems: Iterable[Problem], program: Program) -> None:
        self._finder.tell(code, problems, program, as_error=False)

    def _check(self, program: Program, closures: list[Closure], provided: set[str]) -> None:
        by_name: dict[str, list[tuple[Missing, Closure]]] = {}
        for closure in closures:
            for missing in closure.missing:
                if not {missing.name, posixpath.basename(missing.name)} & provided:
                    by_name.setdefault(missing.name, []).append((missing, closure))
        absent = [
            self._missing(program, found)
            for name, found in sorted(by_name.items())
            if name not in self._allow_missing
        ]
        wrong = dict.fromkeys(problem for closure in closures for problem in closure.problems)
        self._warn("libraries", wrong, program)
        for problem in absent:
            self._finder.report.add(problem)
        place = program.origin.place
        for _, lacks in group_lacking((place, one) for made in closures for one in made.lacking):
            self._finder.report.add(version_problem(place, lacks, is_required=False))

    def _missing(self, program: Program, found: list[tuple[Missing, Closure]]) -> Problem:
        """One warning of a library, however many files of the archive need it.

        A note where the image has the library, as who unpacks the archive may have it loaded.
        """
        missing, closure = found[0]
        needers = {next(filter(self._view.is_within, reversed(one.chain))) for one, _ in found}
        paths = self._image.paths(missing.name, closure.program.facts)
        if paths:
            place, sure = program.origin.place, False
            return Elsewhere(missing.name, tuple(sorted(needers)), paths, place, sure).problem()
        problem = missing.problem()
        hint = problem.hint or hint_for_absent(
            missing, closure, self._linker, self._image, "archive"
        )
        _, *rest = missing.text().lines
        who = (
            "an ELF file in it needs"
            if len(needers) == 1
            else f"{len(needers)} ELF files in it need"
        )
        text = Lines(f"{program.source}: library {missing.name} is missing, which {who}", *rest)
        return Problem("libraries", text, program.origin.place, hint, severity=WARNING)
