"""BOMs to the planned image: a pure function of the BOMs, the sources and the options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Sequence

from occlum_build.bom.model import Bom
from occlum_build.bom.operations import bom_operations
from occlum_build.elf.loader_config import LoaderConfig
from occlum_build.errors import Report
from occlum_build.image.autodep import LibraryFinder
from occlum_build.image.builder import ImageBuilder, ModeRule, Program, keep_mode
from occlum_build.image.conflicts import drop_overridden_dirs
from occlum_build.image.entries import Entry
from occlum_build.image.tree import Base, EmptyBase, ImageTree
from occlum_build.sources import Sources


@dataclass(frozen=True)
class BomSet:
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
    """The entries of the image by path, parents first."""

    entries: tuple[Entry, ...]


def plan_image(
    sets: Sequence[BomSet], options: PlanOptions, sources: Sources, report: Report
) -> ImagePlan:
    """Plan the union of the sets, later ones overriding earlier ones; mistakes go into the report."""
    tree = ImageTree(options.base)
    builder = ImageBuilder(sources, tree, options.mode, report)
    copied: list[tuple[LoaderConfig | None, list[list[Program]]]] = []
    for bom_set in sets:
        expanded = [
            bom_operations(bom, bom_set.workspace, bom_set.env, report) for bom in bom_set.boms
        ]
        kept = drop_overridden_dirs(expanded, report)
        copied.append((bom_set.loader_config, [builder.apply(operations) for operations in kept]))
    builder.overrides.report(report, as_errors=options.conflicts_are_errors)
    for config, boms in copied:
        finder = LibraryFinder(builder, config, options.cpu_level, report)
        for programs in boms:
            finder.add(programs, options.allow_missing)
    return ImagePlan(tuple(tree.entries[path] for path in sorted(tree.entries)))
