"""The verb `copy-bom`: what a BOM names, with its libraries, into an image directory."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from occlum_build.bom.load import load_boms, reader_of
from occlum_build.bom.model import Bom
from occlum_build.cli.output import Progress, logs_operations, print_warnings
from occlum_build.elf.loader_config import CONFIG_PATH, LoaderConfig, parse_loader_config
from occlum_build.errors import OcclumError, Report
from occlum_build.image.builder import keep_mode, normal_mode
from occlum_build.image.entries import DIR, SYMLINK, Entry
from occlum_build.image.plan import BomSet, ImagePlan, PlanOptions, plan_image
from occlum_build.image.tree import EmptyBase
from occlum_build.image.write import ImageWriter, planned_bytes
from occlum_build.os_sources import OsSources, lstat
from occlum_build.sources import SourceStat, join, regular_file

EPILOG = """\
exit codes: 0 done; 2 usage; 255 a BOM, an included BOM or a file to hash is missing; 254 file;
253 BOM invalid; 252 directory; 251 link; 249 hash; 248 libraries; 1 anything else.
OCCLUM_LOG_LEVEL=info prints one line per operation."""


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser(
        "copy-bom",
        help="copy what a BOM names, with its libraries, into an image directory",
        description="Copy the files of a BOM, and the shared libraries that they need, into an "
        "image directory. A drop-in for Occlum's copy_bom that runs no program of the host.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
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
    add("--dry-run", action="store_true", help="plan and check, but write nothing")
    add("--sync", action="store_true", help="delete from the image what the BOM does not name")
    add("--why", metavar="PATH", help="only tell why the image would hold PATH, and write nothing")
    add("--json", action="store_true", help="print the plan as a manifest (docs/manifest.md)")
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
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Plan everything first, then write; raises OcclumError before one byte changes."""
    report = Report()
    sources = OsSources(os.path.abspath(options.sysroot))
    root = os.path.realpath(options.root)
    plan = _plan(options, sources, root, report)
    print_warnings(report)
    report.raise_errors()
    if options.why is not None:
        _print_why(plan, options.why)
        return
    if options.json:
        _print_json(plan, sources)
    _log(plan, root, sources)
    if not options.dry_run:
        _write(plan, root, sources, sync=options.sync)


def _plan(
    options: argparse.Namespace, sources: OsSources, root: str, report: Report
) -> ImagePlan:
    workspace = os.path.dirname(os.path.abspath(options.root)).lstrip("/")
    bom_set = BomSet(
        boms=_load(options, sources, report),
        workspace=workspace,
        env=os.environ,
        loader_config=_loader_config(options.loader_config, sources, report),
    )
    if not options.sync and os.path.isdir(root) and os.listdir(root):
        report.warn("image", f"{options.root} is not empty; what the BOM does not name stays in it")
    plan_options = PlanOptions(
        cpu_level=options.cpu_level,
        mode=normal_mode if options.normalize_modes else keep_mode,
        base=EmptyBase() if options.sync else _ExistingImage(root),
    )
    return plan_image([bom_set], plan_options, sources, report)


def _load(options: argparse.Namespace, sources: OsSources, report: Report) -> tuple[Bom, ...]:
    here = os.getcwd().lstrip("/")
    top = os.path.abspath(options.file).lstrip("/")
    include_dirs = [join(here, directory) or "" for directory in options.include_dir]
    return load_boms(top, include_dirs, os.environ, reader_of(sources), report)


def _loader_config(
    file: str | None, sources: OsSources, report: Report
) -> LoaderConfig | None:
    """The loader config: the given file, or Occlum's own in the sysroot; None where there is none."""
    path = os.path.abspath(file).lstrip("/") if file else CONFIG_PATH
    real = regular_file(sources, path)
    if real is None and file:
        raise OcclumError("file", f"there is no loader config {file}")
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


def _write(plan: ImagePlan, root: str, sources: OsSources, *, sync: bool) -> None:
    if os.path.lexists(root) and not os.path.isdir(root):
        raise OcclumError("directory", f"{root} is not a directory")
    writer = ImageWriter(root, sources.os_path)
    if sync:
        writer.remove_others(plan)
    progress = Progress("copy", planned_bytes(plan.entries))
    writer.write(plan, progress=lambda entry: progress.advance(entry.size))
    progress.close()


def _print_why(plan: ImagePlan, path: str) -> None:
    from occlum_build.image.graph import image_graph, why

    wanted = "/" + path.strip("/")
    chains = why(image_graph(plan), wanted)
    if not chains:
        raise OcclumError("file", f"the image would not hold {wanted}")
    for chain in chains:
        print(" -> ".join(chain))


def _print_json(plan: ImagePlan, sources: OsSources) -> None:
    import json

    from occlum_build.image.manifest import manifest_of

    manifest = manifest_of(plan.entries, sources.sha256)
    print(json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False))


def _log(plan: ImagePlan, root: str, sources: OsSources) -> None:
    if not logs_operations():
        return
    for entry in plan.entries:
        print(f"INFO  {_operation(entry, root, sources)}", file=sys.stderr)


def _operation(entry: Entry, root: str, sources: OsSources) -> str:
    path = os.path.join(root, entry.path)
    if entry.kind == DIR:
        return f"mkdir -p {path}"
    if entry.kind == SYMLINK:
        return f"ln -s {entry.target} {path}"
    return f"cp {sources.os_path(entry.source)} {path}"
