"""The command `copy_bom`, as Occlum's scripts call it: our verb `copy-bom` under its own name."""

from __future__ import annotations

from occlum_build.cli.start import start

if __name__ == "__main__":
    start()

import sys
from collections.abc import Sequence

from occlum_build.cli import copy_bom
from occlum_build.cli.main import run
from occlum_build.cli.usage import EXIT_USAGE, CommandParser, RawFormatter, add_version

_VERSION_OF_OCCLUMS = "0.1.0"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = CommandParser(
        prog="copy_bom",
        description="Copy the files of a BOM, and the shared libraries that they need, into an "
        "image directory, as Occlum's copy_bom does.",
        epilog=copy_bom.EPILOG.format(usage=EXIT_USAGE),
        formatter_class=RawFormatter,
        allow_abbrev=False,
    )
    add_version(parser, _VERSION_OF_OCCLUMS)
    copy_bom.add_options(parser)
    return run(parser, sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
