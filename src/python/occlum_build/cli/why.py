"""`why`: which BOM line brings something into an image, and over which chain."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.output import print_problems, say, say_json
from occlum_build.errors import Report

if TYPE_CHECKING:
    from occlum_build.report.model import KnownImage


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "why",
        help="tell why something is in an image",
        description="Tell the shortest chain from a BOM line to what is asked for, each step with "
        "its evidence. Exit code 1 when the image does not have all of it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "manifest", type=Path, help="a manifest.json, or the directory that `package` wrote it to"
    )
    parser.add_argument(
        "what",
        nargs="+",
        metavar="WHAT",
        help="a path in the image, also with * ? [...]; a name of a file, library or package; "
        "package:NAME; where an entry was copied from",
    )
    parser.add_argument("--all", action="store_true", help="all chains instead of the shortest")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/insight.md)")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Print the answers; OcclumError `absent` for what the image does not have."""
    from occlum_build.report.read import read_image

    report = Report()
    image = read_image(options.manifest, report)
    print_problems(report.warnings)
    tell(image, options.what, every=options.all, as_json=options.json)


def tell(image: KnownImage, queries: Sequence[str], *, every: bool, as_json: bool = False) -> None:
    """Print why each is in the image; OcclumError `absent` for what is not there."""
    from occlum_build.report.why import Why
    from occlum_build.report.why_output import absent_error, lines, to_json

    why = Why(image, every=every)
    answers = [one for query in queries for one in why.answers(query)]
    if as_json:
        say_json(to_json(image, answers), indent=1)
    else:
        for line in lines(image, answers):
            say(line)
    print_problems(why.notes())
    error = absent_error(answers)
    if error is not None:
        raise error
