"""`size`: what makes an image large, and whether it is larger than it may be."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from occlum_build.cli.output import print_problems, say, say_json
from occlum_build.errors import Report


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "size",
        help="tell what makes an image large",
        description="Tell the bytes of an image by layer, by the BOM line that pays for them, by "
        "package and directory, what it has more than once, and its largest files.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "manifest", type=Path, help="a manifest.json, or the directory that `package` wrote it to"
    )
    parser.add_argument(
        "--max", metavar="SIZE", help="fail, with the culprits, when it is larger: 200MB"
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="of each list; default 10")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/insight.md)")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Print the sizes; OcclumError `size` when there is a limit that they are beyond."""
    from occlum_build.report.model import without_graph
    from occlum_build.report.read import read_image
    from occlum_build.report.size import Sizes, parse_limit
    from occlum_build.report.size_output import lines, to_json

    limit = parse_limit(options.max) if options.max is not None else None
    report, top = Report(), max(options.top, 0)
    sizes = Sizes(read_image(options.manifest, report))
    print_problems([*report.warnings, *without_graph(sizes.image)])
    if options.json:
        say_json(to_json(sizes, top), indent=1)
    else:
        for line in lines(sizes, top):
            say(line)
    if limit is not None:
        sizes.check(limit)
