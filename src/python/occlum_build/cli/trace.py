"""`trace`: what traced runs of an image lacked, as a BOM, and what none of them has opened."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.output import print_problem, say, say_aside, say_json
from occlum_build.errors import NOTE, OcclumError, Problem

if TYPE_CHECKING:
    from occlum_build.checks.root import Root
    from occlum_build.run.spec import Program, RootSpec

VERB = "trace"
_MOST = 40  # of the largest that nobody opened


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        VERB,
        help="tell what traced runs of an image lacked, or have not opened",
        description="Tell of the records that `run --record` keeps what the image lacks, as a BOM "
        "to paste, or with --unused what no run has opened.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "image",
        metavar="IMAGE",
        type=Path,
        help="an image's directory, its manifest.json, or an instance with its image/",
    )
    parser.add_argument(
        "records", metavar="RECORD", nargs="+", type=Path, help="what `run --record` has written"
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        type=Path,
        default=Path("/"),
        help="the root file system that the image is made from; default: /",
    )
    parser.add_argument(
        "--unused", action="store_true", help="tell what no run has opened, the largest first"
    )
    parser.add_argument("--all", action="store_true", help=f"with --unused: more than {_MOST}")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/trace.md)")
    parser.set_defaults(func=_run)


def _run(options: argparse.Namespace) -> None:
    from occlum_build.checks.root import Root
    from occlum_build.run.target import find_target
    from occlum_build.trace.missing import find_missing
    from occlum_build.trace.output import missing_json, missing_lines, unused_json, unused_lines
    from occlum_build.trace.record import read_records
    from occlum_build.trace.unused import find_unused

    image = Root.of_directory(str(find_target(options.image).image))
    record, name = read_records(options.records), str(options.image)
    if options.unused:
        unused = find_unused(record, image)
        if options.json:
            say_json(unused_json(name, record, unused), indent=1)
            return
        for line in unused_lines(record, unused, None if options.all else _MOST):
            say(line)
        return
    root = _root(options.root)
    missing = find_missing(record, image, _sources(root))
    if options.json:
        say_json(missing_json(name, record, missing), indent=1)
        return
    for line in missing_lines(record, missing, root):
        say(line)


def run_and_tell(options: argparse.Namespace, image: Root, spec: RootSpec, program: Program) -> int:
    """Run a program of an image under strace, and tell what it lacked; its exit code."""
    from occlum_build.trace.missing import find_missing
    from occlum_build.trace.output import missing_lines
    from occlum_build.trace.probes import hidden_paths
    from occlum_build.trace.record import add_to_file, check_place
    from occlum_build.trace.strace import can_supply, find_strace, run_traced

    find_strace()
    root = _root(options.root)
    if options.record is not None:
        check_place(options.record)  # what cannot be added to is told before anything runs
    if not options.alone:
        above = replace(spec, below=root, hidden=hidden_paths(root))
        if can_supply(above):
            spec = above
            text = f"what the image lacks is shown to {program.args[0]} from {root}, read-only"
        else:
            text = (
                "this machine cannot show a root file system below the image, so that the program "
                "may end at the first thing that is missing"
            )
        print_problem(Problem(VERB, text, severity=NOTE))
    code, record = run_traced(spec, program)
    try:
        if options.record is not None:
            add_to_file(options.record, record)
    finally:  # the run may have been a long one
        for line in missing_lines(record, find_missing(record, image, _sources(root)), root):
            say_aside(line)
    return code


def _root(path: Path) -> str:
    if not path.is_dir():
        raise OcclumError(VERB, f"the root {path} is no directory", hint="name one with --root")
    return os.path.realpath(path)


def _sources(root: str) -> Any:
    from occlum_build.sources.os import OsSources

    return OsSources(root)
