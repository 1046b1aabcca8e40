"""BOMs to the planned image: a pure function of the BOMs, the sources and the options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from occlum_build.bom.model import Bom
from occlum_build.bom.operations import bom_operations
from occlum_build.elf.budget import Budget
from occlum_build.elf.closure import Closure
from occlum_build.elf.loader_config import CONFIG_PATH, LoaderConfig
from occlum_build.errors import Report
from occlum_build.image.archives import add_archives, libcs_of
from occlum_build.image.autodep import LibraryFinder
from occlum_build.image.builder import ImageBuilder, ModeRule, Program, keep_mode
from occlum_build.image.conflicts import drop_overridden_dirs
from occlum_build.image.entries import Entry
from occlum_build.image.missing import ImageLibraries, MissingLibraries, Searched
from occlum_build.image.tree import Base, EmptyBase, ImageTree
from occlum_build.sources.model import Sources
from occlum_build.sources.os import OsSources


class BomSet(NamedTuple):
    """A root BOM and all that it includes, in their order, with what rules them all.

    `workspace` is the source path that relative sources are joined to, `env` the variables,
    `loader_config` that of the root BOM (None where there is none in the sysroot).
    """

    boms: tuple[Bom, ...]
    workspace: str
    env: Mapping[str, str]
    loader_config: LoaderConfig | None


@dataclass(frozen=True)
class PlanOptions:
    """What rules the plan besides the BOMs; `allow_missing` holds names of libraries."""

    cpu_level: str = "baseline"
    allow_missing: tuple[str, ...] = ()
    conflicts_are_errors: bool = False
    mode: ModeRule = keep_mode
    base: Base = field(default_factory=EmptyBase)


@dataclass(frozen=True)
class ImagePlan:
    """The entries of the image by path, parents first, and the closures of its programs.

    `placed` tells the entry's path for each image path of the closures, "/lib64/x" -> "lib/x".
    `followed` has the links that the image held before and that paths of the BOM led through.
    """

    entries: tuple[Entry, ...]
    closures: tuple[Closure, ...] = ()
    placed: Mapping[str, str] = field(default_factory=dict)
    followed: frozenset[str] = frozenset()
    searched: Searched = field(default_factory=Searched)


class Draft(NamedTuple):
    """An image without its libraries, and the copied files of each BOM that may need some."""

    tree: ImageTree
    programs: tuple[tuple[LoaderConfig | None, tuple[tuple[Program, ...], ...]], ...]


def plan_image(
    sets: Sequence[BomSet], options: PlanOptions, sources: Sources, report: Report
) -> ImagePlan:
    """Plan the union of the sets, later ones overriding earlier ones; the report has mistakes."""
    draft = draft_image(sets, options, sources, report)
    if isinstance(sources, OsSources):
        copied = (one for _, boms in draft.programs for programs in boms for one in programs)
        sources.look_ahead(one.source for one in copied)
    draft = only_elf_or_zip(draft, sources)
    return complete_image(draft, options, sources, report)


def draft_image(
    sets: Sequence[BomSet], options: PlanOptions, sources: Sources, report: Report
) -> Draft:
    """Carry out the BOMs: everything but the libraries."""
    tree = ImageTree(options.base)
    builder = ImageBuilder(sources, tree, options.mode, report)
    expanded = []
    copied: tuple[tuple[LoaderConfig | None, tuple[tuple[Program, ...], ...]], ...] = ()
    for bom_set in sets:
        boms = [bom_operations(bom, bom_set.workspace, bom_set.env, report) for bom in bom_set.boms]
        expanded.append((bom_set.loader_config, drop_overridden_dirs(boms, report)))
    dirs = [copy for _, boms in expanded for one in boms for copy in one.dirs]
    with report:  # it ends where there is too much
        copied = tuple(
            (config, tuple(tuple(builder.apply(one, dirs)) for one in boms))
            for config, boms in expanded
        )
    builder.merging.report_blocked(report)
    builder.overrides.report(report, as_errors=options.conflicts_are_errors)
    return Draft(tree, copied)


def only_elf_or_zip(draft: Draft, sources: Sources) -> Draft:
    """The draft with those programs only that are ELF files, look like one, or are archives."""

    def is_wanted(program: Program) -> bool:
        source = program.source
        if sources.facts(source) is not None or sources.malformed(source):
            return True
        return sources.archive(source) is not None

    return Draft(
        draft.tree,
        tuple(
            (config, tuple(tuple(filter(is_wanted, programs)) for programs in boms))
            for config, boms in draft.programs
        ),
    )


def complete_image(
    draft: Draft, options: PlanOptions, sources: Sources, report: Report
) -> ImagePlan:
    """Add the libraries that the programs of a draft need; the draft itself is not changed."""
    tree = draft.tree.copy()
    builder = ImageBuilder(sources, tree, options.mode, report)
    missing, finders, budget = MissingLibraries(options.allow_missing), [], Budget()
    copied = [program for _, boms in draft.programs for programs in boms for program in programs]
    libcs = libcs_of(copied, sources)
    for config, boms in draft.programs:
        finder = LibraryFinder(builder, config, options.cpu_level, missing, budget, report)
        companion = finder.companion(program for programs in boms for program in programs)
        for programs in boms:
            finder.add(programs, companion)
        for programs in boms:
            add_archives(finder, programs, libcs, companion, options.allow_missing)
        _warn_of_own_loader(config, finder.closures, report)
        finders.append(finder)
    for problem in missing.problems(ImageLibraries(tree, sources)):
        report.add(problem)
    entries = tuple(tree.entries[path] for path in sorted(tree.entries))
    return ImagePlan(
        entries,
        tuple(closure for finder in finders for closure in finder.closures),
        {path: real for finder in finders for path, real in finder.placed.items()},
        frozenset(tree.followed),
        Searched(
            required=frozenset(
                f"/{one.path}" for one in copied if one.required and one.autodep
            ).difference(missing.left_alone),
            left_alone=frozenset(missing.left_alone),
            refused=frozenset(path for finder in finders for path in finder.refused),
            told=missing.names,
            elsewhere=tuple(missing.elsewhere),
            cpu_level=options.cpu_level,
        ),
    )


def _warn_of_own_loader(
    config: LoaderConfig | None, closures: Sequence[Closure], report: Report
) -> None:
    """Tell once that, without Occlum, programs bring the machine's own loader."""
    if config is not None:
        return
    for closure in closures:
        loader = closure.interpreter
        if loader is None or loader.is_lacking or loader.fault:
            continue
        if loader.entry is None and loader.image_path:
            report.warn(
                "loader",
                f"no loader config: programs use their own loader, {loader.path}; such an image "
                "suits a chroot, not Occlum's libOS",
                hint=f"install Occlum, which brings {CONFIG_PATH}, or give a loader config",
            )
            return
