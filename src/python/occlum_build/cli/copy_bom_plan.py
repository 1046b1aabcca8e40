"""What `copy-bom` plans: the BOMs that its options name, over what the image holds."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Mapping
from functools import cached_property

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.bom.model import Bom
from occlum_build.elf.loader_config import CONFIG_PATH, LoaderConfig, parse_loader_config
from occlum_build.errors import OcclumError, Report
from occlum_build.image.builder import keep_mode, normal_mode
from occlum_build.image.existing import files_by_name
from occlum_build.image.plan import BomSet, ImagePlan, PlanOptions, plan_image
from occlum_build.image.tree import Base, EmptyBase
from occlum_build.sources.model import DIR, SourceStat, join, regular_file, why_no_file
from occlum_build.sources.os import OsSources, lstat


def plan_copy(
    options: argparse.Namespace,
    sources: OsSources,
    env: Mapping[str, str],
    base: Base | None,
    report: Report,
) -> ImagePlan:
    """Plan what the options ask for; `base` is what the image holds, None where that will go."""
    # The parent as copy_bom takes it: of the text, so that for "." it is the working directory.
    workspace = os.path.abspath(os.path.dirname(options.root.rstrip("/"))).lstrip("/")
    bom_set = BomSet(
        boms=_load(options, sources, env, report),
        workspace=workspace,
        env=env,
        loader_config=_loader_config(options.loader_config, sources, report),
    )
    mode = normal_mode if options.normalize_modes else keep_mode
    plan_options = PlanOptions(cpu_level=options.cpu_level, mode=mode, base=base or EmptyBase())
    return plan_image([bom_set], plan_options, sources, report)


def _load(
    options: argparse.Namespace, sources: OsSources, env: Mapping[str, str], report: Report
) -> tuple[Bom, ...]:
    top = os.path.abspath(options.file).lstrip("/")
    include_dirs = [  # absolute ones are in the sysroot
        join("", one) or "" if os.path.isabs(one) else os.path.abspath(one).lstrip("/")
        for one in options.include_dir
    ]
    return load_boms(top, include_dirs, env, reader_of(sources), report)


def _loader_config(file: str | None, sources: OsSources, report: Report) -> LoaderConfig | None:
    """The loader config: the given file, or Occlum's own in the sysroot; None where none is."""
    path = os.path.abspath(file).lstrip("/") if file else CONFIG_PATH
    real = regular_file(sources, path)
    if real is None and file:
        raise OcclumError("file", why_no_file(sources, path, "loader config", file))
    if real is None:
        return None
    with report:
        return parse_loader_config(sources.read(real).decode("utf-8", "replace"), path)
    return None


class ExistingImage:
    """What the image's directory holds before this run: kinds, links and the modes of directories.

    Nothing else of it changes a plan.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.found: dict[str, SourceStat | None] = {}
        self.was_searched = False

    def lstat(self, path: str) -> SourceStat | None:
        if path not in self.found:
            self.found[path] = what_stands_at(os.path.join(self.root, path))
        return self.found[path]

    def source(self, path: str) -> str:
        return os.path.join(self.root, path).lstrip("/")

    def named(self, name: str) -> Collection[str]:
        return self._by_name.get(name, ())

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Only asked for what is missing."""
        self.was_searched = True
        return files_by_name(self.root)


def what_stands_at(path: str) -> SourceStat | None:
    """What `ExistingImage` tells of a path of this machine."""
    found = lstat(path)
    if found is None:
        return None
    return SourceStat(found.kind, found.mode if found.kind == DIR else 0, target=found.target)
