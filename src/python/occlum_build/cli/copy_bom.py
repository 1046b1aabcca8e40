"""The verb `copy-bom`: what a BOM names, with its libraries, into an image directory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.bom.model import Bom
from occlum_build.checks.allowed import parse_allowed
from occlum_build.cli.copy_bom_checks import OnThisMachine, check_copy
from occlum_build.cli.copy_bom_manifest import with_absolute_boms, write_manifest
from occlum_build.cli.output import (
    Progress,
    add_allow_option,
    logs_operations,
    print_operation,
    print_problems,
    say_json,
    working_directory,
)
from occlum_build.elf.loader_config import CONFIG_PATH, LoaderConfig, parse_loader_config
from occlum_build.errors import OcclumError, Report
from occlum_build.image.builder import keep_mode, normal_mode
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.image.existing import files_by_name
from occlum_build.image.plan import BomSet, ImagePlan, PlanOptions, plan_image
from occlum_build.image.tree import Base, EmptyBase
from occlum_build.image.write import ImageWriter
from occlum_build.sources.model import SourceStat, join, regular_file, why_no_file
from occlum_build.sources.os import OsSources, lstat

EPILOG = """\
exit codes: 0 done; {usage} usage; 255 a BOM, an included BOM or a file to hash is missing;
254 file; 253 BOM invalid; 252 directory; 251 link; 249 hash; 248 libraries; 1 anything else.
OCCLUM_LOG_LEVEL=info prints one line per operation; warn leaves notes out, error warnings too."""


def add_parser(verbs: Any) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "copy-bom",
        help="copy what a BOM names, with its libraries, into an image directory",
        description="Copy the files of a BOM, and the shared libraries that they need, into an "
        "image directory. A drop-in for Occlum's copy_bom that runs no program of the host.",
        epilog=EPILOG.format(usage=2),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of Occlum's copy_bom, and our own."""
    add = parser.add_argument
    add("-f", "--file", required=True, metavar="BOM", help="the top BOM")
    add("--root", required=True, metavar="DIR", help="the image's directory; made when missing")
    add(
        "--include-dir",
        metavar="DIR",
        nargs="+",
        action="extend",
        default=[],
        help="where included BOMs are looked for, after the including BOM's own directory",
    )
    add("--dry-run", action="store_true", help="plan and check, but leave the image as it is")
    add("--sync", action="store_true", help="delete from the image what the BOM does not name")
    add("--why", metavar="PATH", help="only tell why the image would hold PATH, and write nothing")
    add("--json", action="store_true", help="print the plan as a manifest (docs/manifest.md)")
    add("--manifest", metavar="FILE", help="write the manifest there, and graph.json beside it")
    add("--sysroot", metavar="DIR", default="/", help="where absolute paths are looked up")
    add("--loader-config", metavar="FILE", help="Occlum's occlum_elf_loader.config")
    add(
        "--cpu-level",
        default="baseline",
        choices=("baseline", "v2", "v3", "v4"),
        help="x86-64 level whose glibc-hwcaps libraries may be taken (default: baseline)",
    )
    add(
        "--normalize-modes",
        action="store_true",
        help="project files 0644 or 0755, as under Pants, instead of the modes they have",
    )
    add_allow_option(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Plan everything first, then write; raises OcclumError before one byte changes."""
    report, plan = Report(), ImagePlan(())
    root = os.path.realpath(options.root)
    sources = OsSources(os.path.realpath(options.sysroot), image=root)
    with report:
        plan = _plan(options, sources, root, report)
        check_copy(
            plan,
            sources,
            root,
            report,
            syncs_from=os.path.realpath(options.file) if options.sync else None,
            allowed=parse_allowed(options.allow),
        )
    on_this_machine = OnThisMachine(working_directory(), root, os.path.abspath(options.file))
    print_problems(map(on_this_machine, report.warnings))
    if report.errors:
        raise OcclumError.of([on_this_machine(one) for one in dict.fromkeys(report.errors)])
    if options.why is not None:
        _print_why(plan, options)
        return
    if options.json:
        _print_json(plan, sources)
    _log(plan, root, sources)
    if options.manifest is not None:
        write_manifest(plan, sources, Path(options.manifest), root)
    if not options.dry_run:
        _write(plan, root, sources, sync=options.sync)


def _plan(options: argparse.Namespace, sources: OsSources, root: str, report: Report) -> ImagePlan:
    # The parent as copy_bom takes it: of the text, so that for "." it is the working directory.
    workspace = os.path.abspath(os.path.dirname(options.root.rstrip("/"))).lstrip("/")
    bom_set = BomSet(
        boms=_load(options, sources, report),
        workspace=workspace,
        env=os.environ,
        loader_config=_loader_config(options.loader_config, sources, report),
    )
    base: Base = _ExistingImage(root)
    if options.sync:
        base = EmptyBase()
    mode = normal_mode if options.normalize_modes else keep_mode
    plan_options = PlanOptions(cpu_level=options.cpu_level, mode=mode, base=base)
    return plan_image([bom_set], plan_options, sources, report)


def _load(options: argparse.Namespace, sources: OsSources, report: Report) -> tuple[Bom, ...]:
    top = os.path.abspath(options.file).lstrip("/")
    include_dirs = [  # absolute ones are in the sysroot
        join("", one) or "" if os.path.isabs(one) else os.path.abspath(one).lstrip("/")
        for one in options.include_dir
    ]
    return load_boms(top, include_dirs, os.environ, reader_of(sources), report)


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


class _ExistingImage:
    """What the image's directory holds before this run."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.found: dict[str, SourceStat | None] = {}

    def lstat(self, path: str) -> SourceStat | None:
        if path not in self.found:
            self.found[path] = lstat(os.path.join(self.root, path))
        return self.found[path]

    def source(self, path: str) -> str:
        return os.path.join(self.root, path).lstrip("/")

    def named(self, name: str) -> Collection[str]:
        return self._by_name.get(name, ())

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Only asked for what is missing."""
        return files_by_name(self.root)


def _write(plan: ImagePlan, root: str, sources: OsSources, *, sync: bool) -> None:
    size = sum(entry.size for entry in plan.entries if entry.kind == FILE)
    progress = Progress("copy", size)
    writer = ImageWriter(root, sources)
    writer.write(plan, sync=sync, progress=lambda entry: progress.advance(entry.size))
    progress.close()


def _print_why(plan: ImagePlan, options: argparse.Namespace) -> None:
    from occlum_build.cli.why import tell
    from occlum_build.image.graph import graph_of
    from occlum_build.image.manifest import manifest_text
    from occlum_build.report.read import image_of

    manifest = manifest_text(with_absolute_boms(plan), lambda _: "")
    image = image_of(manifest.full, options.root, graph_of(plan))
    try:
        tell(image, [options.why], every=False, as_json=options.json)
    except OcclumError as error:
        # As of any file that is not there: scripts test for the exit code.
        found = [replace(one, code="file") for one in error.problems]
        raise OcclumError.of(found, error.told) from error


def _print_json(plan: ImagePlan, sources: OsSources) -> None:
    from occlum_build.image.manifest import manifest_of

    say_json(manifest_of(with_absolute_boms(plan), sources.sha256), indent=1)


def _log(plan: ImagePlan, root: str, sources: OsSources) -> None:
    if not logs_operations():
        return
    for entry in plan.entries:
        print_operation(_operation(entry, root, sources))


def _operation(entry: Entry, root: str, sources: OsSources) -> str:
    path = os.path.join(root, entry.path)
    if entry.kind == DIR:
        return f"mkdir -p {path}"
    if entry.kind == SYMLINK:
        return f"ln -s {entry.target} {path}"
    return f"cp {sources.os_path(entry.source)} {path}"
