"""The verb `copy-bom`: what a BOM names, with its libraries, into an image directory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from occlum_build.checks.allowed import parse_allowed
from occlum_build.cli.copy_bom_checks import OnThisMachine, check_copy
from occlum_build.cli.copy_bom_manifest import with_absolute_boms, write_manifest
from occlum_build.cli.copy_bom_plan import ExistingImage, plan_copy
from occlum_build.cli.memo import find
from occlum_build.cli.memo.find import OPTION
from occlum_build.cli.output import (
    Progress,
    add_allow_option,
    logs_operations,
    print_operation,
    print_problems,
    say_json,
    told_text,
    working_directory,
)
from occlum_build.cli.usage import RawFormatter
from occlum_build.errors import OcclumError, Report
from occlum_build.image.entries import DIR, FILE, SYMLINK, Entry
from occlum_build.image.plan import ImagePlan
from occlum_build.image.write import ImageWriter
from occlum_build.sources.os import OsSources

if TYPE_CHECKING:  # not every run writes a memo
    from occlum_build.cli.memo.record import Recorder

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
        formatter_class=RawFormatter,
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
    add(
        OPTION,
        action="store_true",
        help="neither use nor write what makes a run without a change quick (docs/bom.md)",
    )
    add_allow_option(parser)
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Plan everything first, then write; raises OcclumError before one byte changes."""
    root, sysroot = os.path.realpath(options.root), os.path.realpath(options.sysroot)
    recorder = _recorder(options, root, sysroot)
    with recorder or nullcontext():
        _run(options, root, sysroot, recorder)


def _run(options: argparse.Namespace, root: str, sysroot: str, recorder: Recorder | None) -> None:
    report, plan = Report(), ImagePlan(())
    sources = recorder.sources if recorder else OsSources(sysroot, image=root)
    env = recorder.variables if recorder else os.environ
    others: Sequence[str] = ()
    with report:
        plan = _plan(options, sources, env, root, recorder, report)
        others = check_copy(
            plan,
            sources,
            root,
            report,
            syncs_from=os.path.realpath(options.file) if options.sync else None,
            allowed=parse_allowed(options.allow),
        )
    on_this_machine = OnThisMachine(working_directory(), root, os.path.abspath(options.file))
    told = [on_this_machine(one) for one in report.warnings]
    print_problems(told)
    if report.errors:
        raise OcclumError.of([on_this_machine(one) for one in dict.fromkeys(report.errors)])
    if options.why is not None:
        _print_why(plan, options)
        return
    if options.json:
        _print_json(plan, sources)
    _log(plan, root, sources)
    if options.manifest is not None:
        from pathlib import Path

        write_manifest(plan, sources, Path(options.manifest), root)
    if options.dry_run:
        return
    _write(plan, root, sources, recorder, sync=options.sync)
    if recorder:
        recorder.finish(told_text(told), others)


def _plan(
    options: argparse.Namespace,
    sources: OsSources,
    env: Mapping[str, str],
    root: str,
    recorder: Recorder | None,
    report: Report,
) -> ImagePlan:
    base = None if options.sync else ExistingImage(root)
    plan = plan_copy(options, sources, env, base, report)
    if recorder:

        def plan_again(base: ExistingImage | None, report: Report) -> ImagePlan:
            return plan_copy(options, sources, env, base, report)

        recorder.planned(plan, base, plan_again, report)
    return plan


def _recorder(options: argparse.Namespace, root: str, sysroot: str) -> Recorder | None:
    """Who writes the memo for the next run; None for a run that prints more than problems."""
    is_plain = options.why is None and options.manifest is None and not options.json
    if not find.memo_file or not is_plain or options.dry_run or logs_operations():
        return None
    from occlum_build.cli.memo.record import Recorder

    return Recorder(root, sysroot, (options.root, options.sysroot, os.path.abspath(options.file)))


def _write(
    plan: ImagePlan, root: str, sources: OsSources, recorder: Recorder | None, *, sync: bool
) -> None:
    progress = Progress("copy", sum(entry.size for entry in plan.entries if entry.kind == FILE))
    ImageWriter(root, sources).write(
        plan,
        sync=sync,
        progress=lambda entry: progress.advance(entry.size),
        finished=recorder.written if recorder else None,
    )
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
