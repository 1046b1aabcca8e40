"""`diff`: what changed between two images or enclaves, and whether MRENCLAVE moves."""

from __future__ import annotations

import argparse
from typing import Any

from occlum_build.cli.output import say, say_json

EXIT_DIFFERENT, EXIT_TROUBLE = 1, 2  # as those of diff(1)


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "diff",
        help="tell what changed between two images or enclaves, and why",
        description="Tell which entries were added, removed and changed, with the cause, and "
        "whether MRENCLAVE moves. Exit code 0: nothing differs; 1: something does; 2: trouble.",
        epilog="OLD and NEW: a manifest.json, a measurement.json, a directory in dist/ that has "
        "one or both, an OCI layout, or git:REVISION:PATH of a file or directory of these.",
        allow_abbrev=False,
    )
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("--all", action="store_true", help="tell all entries of each cause")
    parser.add_argument("--json", action="store_true", help="print JSON (docs/insight.md)")
    parser.set_defaults(func=run, exit_failure=EXIT_TROUBLE)


def run(options: argparse.Namespace) -> int:
    """Print the difference; 1 where there is one."""
    from occlum_build.report.diff import compare
    from occlum_build.report.diff_output import lines, to_json
    from occlum_build.report.sides import read_side

    found = compare(read_side(options.old), read_side(options.new))
    if options.json:
        say_json(to_json(found), indent=1)
    else:
        for line in lines(found, every=options.all):
            say(line)
    return 0 if found.is_empty else EXIT_DIFFERENT
