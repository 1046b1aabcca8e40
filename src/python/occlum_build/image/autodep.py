"""The libraries that the copied programs need, placed where their loaders will look for them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from occlum_build.elf.budget import Budget
from occlum_build.elf.closure import Closure
from occlum_build.elf.facts import ElfFacts
from occlum_build.elf.interpreter import TAKE_ANOTHER, foreign_machine
from occlum_build.elf.linker import Linker
from occlum_build.elf.loader_config import LoaderConfig
from occlum_build.elf.placement import Placement, placements
from occlum_build.errors import ERROR, WARNING, Problem, Report, TooMuch
from occlum_build.image.builder import ImageBuilder, Program
from occlum_build.image.entries import FILE, Entry, Origin
from occlum_build.image.missing import MissingLibraries
from occlum_build.shown import Lines
from occlum_build.sources.model import Sources


class LibraryFinder:
    """Adds the closure of each program to the image; what a user named is never replaced."""

    def __init__(
        self,
        builder: ImageBuilder,
        config: LoaderConfig | None,
        cpu_level: str,
        missing: MissingLibraries,
        budget: Budget,
        report: Report,
    ) -> None:
        self.builder = builder
        self.missing = missing
        self.report = report
        self._config, self._cpu_level, self._budget = config, cpu_level, budget
        self.linker = self.linker_over(builder.sources)
        self.closures: list[Closure] = []
        self.placed: dict[str, str] = {}  # image path by closure -> path of the entry
        self.refused: set[str] = set()  # image paths of what nothing loads, as is told

    def linker_over(self, sources: Sources) -> Linker:
        """A linker that searches a view of the sources, and the image."""
        tree = self.builder.tree
        return Linker(
            sources,
            self._config,
            cpu_level=self._cpu_level,
            image_lookup=lambda path: tree.file_source(path.lstrip("/")),
            image_has_dir=lambda path: tree.leads_to_dir(path.lstrip("/")),
            budget=self._budget,
        )

    def add(self, programs: Sequence[Program], companion: str) -> None:
        """Place the libraries of one BOM's programs; what is missing is collected."""
        left_alone = self.programs_are_left_alone(programs)
        refused = _Refused()
        for program in programs:
            self.refused.discard("/" + program.path)
            facts = self.builder.sources.facts(program.source)
            if not program.autodep or (left_alone and facts and _has_no_loader(facts)):
                self.missing.left_alone.add("/" + program.path)
                continue
            self.missing.left_alone.discard("/" + program.path)
            malformed = self.builder.sources.malformed(program.source)
            if malformed:
                text = f"{program.source} looks like an ELF file but is none: {malformed}"
                self.tell("elf", [Problem("elf", text)], program, as_error=False)
                continue
            machine = self._foreign_machine(program, facts)
            if machine:
                text = f"{program.source} is for {machine}, not x86-64"
                refused.add(Problem("program", text, hint=TAKE_ANOTHER), program)
                continue
            closure = self.close(program, self.linker, companion)
            if closure.interpreter is None:
                continue
            self.closures.append(closure)
            loader = closure.interpreter
            if loader.is_lacking or (loader.fault and closure.problems):
                refused.add(closure.problems[0], program, is_error=bool(loader.fault))
            else:
                self._check(closure, program)
            known = len(self.report.errors)
            for placement in placements(closure):
                with self.report:
                    self.place(placement, program)
            if len(self.report.errors) > known:
                self.refused.add("/" + program.path)
        self.refused |= refused.paths
        unread = [one for one in self.linker.unread() if one not in self.report.warnings]
        for problem in (*refused.problems(), *unread):
            self.report.add(problem)

    def close(self, program: Program, linker: Linker, companion: str, member: str = "") -> Closure:
        """The closure of a program, or of a member of an archive ("/PATH"); raises TooMuch."""
        try:
            return linker.close(program.source + member, f"/{program.path}{member}", companion)
        except TooMuch as error:
            place = program.origin.place
            error.problems = tuple(replace(one, place=place) for one in error.problems)
            raise

    def companion(self, programs: Iterable[Program]) -> str:
        """The interpreter that all programs with one have in common, "" where there is none."""
        found = {
            facts.interpreter
            for program in programs
            if program.autodep and (facts := self.builder.sources.facts(program.source))
        } - {None}
        return found.pop() or "" if len(found) == 1 else ""

    def programs_are_left_alone(self, programs: Sequence[Program]) -> bool:
        """Are there programs in the BOM, all with `autodep: false`?

        Then a plugin that names neither loader nor libc belongs to them: what it needs is as much
        left to the user as what they need.
        """
        facts = self.builder.sources.facts
        autodep = {
            program.autodep
            for program in programs
            if (found := facts(program.source)) is not None and found.interpreter
        }
        return autodep == {False}

    def _foreign_machine(self, program: Program, facts: ElfFacts | None) -> str:
        """The machine of what was to be loaded on x86-64: data may be for any."""
        if facts is None or not facts.loadable:
            return ""
        entry = self.builder.tree.entries.get(program.path)
        is_run = facts.type == "ET_EXEC" and entry is not None and entry.mode & 0o111
        return foreign_machine(facts) if facts.interpreter or facts.needed or is_run else ""

    def _check(self, closure: Closure, program: Program) -> None:
        self.tell("libraries", closure.problems, program, as_error=program.required)
        self.missing.add(closure, program, self.linker)

    def tell(
        self, code: str, problems: Iterable[Problem], program: Program, *, as_error: bool
    ) -> None:
        """Report problems under a code, at the place that copies the program."""
        severity, place = ERROR if as_error else WARNING, program.origin.place
        for one in problems:
            self.report.add(Problem(code, one.message, place, one.hint, severity=severity))

    def place(self, placement: Placement, program: Program) -> None:
        """Plan a library where it belongs, unless that place is taken."""
        builder, tree = self.builder, self.builder.tree
        origin = Origin(program.origin.place, placement.chain)
        path = tree.locate(placement.image_path.lstrip("/"), origin.place, follow_last=True)
        self.placed[placement.image_path] = path
        existing = tree.entries.get(path)
        if existing is not None and existing.kind == FILE:
            if existing.is_library and not self._same(existing.source, placement.source):
                self._report_clash(path, existing.origin, origin)
            return
        stat = builder.sources.lstat(placement.source)
        if stat is None:
            return
        builder.make_dirs(posixpath.dirname(path), origin)
        mode = builder.mode(placement.source, stat)
        builder.put_file(Entry(path, FILE, origin, mode, placement.source, stat.size))

    def _same(self, first: str, second: str) -> bool:
        sources = self.builder.sources
        return first == second or sources.sha256(first) == sources.sha256(second)

    def _report_clash(self, path: str, first: Origin, second: Origin) -> None:
        self.report.error(
            "libraries",
            Lines(
                f"two different libraries claim /{path}:",
                f"  {' -> '.join(first.chain)}",
                f"  {' -> '.join(second.chain)}",
            ),
            second.place,
            "copy one of the programs with `autodep: false`, give one a RUNPATH of its own, or "
            "make both use one library",
        )


class _Refused:
    """Programs that nothing loads, for reasons that many may have in common."""

    def __init__(self) -> None:
        self._programs: dict[tuple[Problem, bool], list[Program]] = {}
        self.paths: set[str] = set()  # of the image

    def add(self, problem: Problem, program: Program, *, is_error: bool = False) -> None:
        """Take a problem whose message starts with the program's source.

        An error of a program that must find its libraries, of others where it `is_error`.
        """
        reason = replace(problem, message=problem.message[len(program.source) :])
        self._programs.setdefault((reason, program.required or is_error), []).append(program)
        self.paths.add("/" + program.path)

    def problems(self) -> Iterator[Problem]:
        """One for each reason."""
        for (reason, is_error), programs in self._programs.items():
            who = programs[0].source
            if programs[1:]:
                who = f"{len(programs)} files, {who} among them, each"
            yield replace(
                reason,
                message=who + reason.message,
                place=programs[0].origin.place,
                severity=ERROR if is_error else WARNING,
            )


def _has_no_loader(facts: ElfFacts) -> bool:
    return not facts.interpreter and not any(
        name.startswith(("libc.so", "libc.musl-", "ld-linux-")) for name in facts.needed
    )
