"""The command `occlum-build`: finds the verb, runs it, and turns errors into text and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Sequence

from occlum_build.cli.output import print_problem
from occlum_build.errors import OcclumError

# verb -> its module; a run imports only the one that it needs
VERBS = {
    "copy-bom": "copy_bom",
    "gen-conf": "gen_conf",
    "sefs": "sefs",
    "protect": "protect",
    "show": "protect",
    "show-mac": "protect",
    "sign": "sign",
    "gendata": "sign",
    "catsig": "sign",
    "print": "print_measurement",
    "sigstruct-view": "sigstruct_view",
}

# Exit codes by the first error's code; those of copy_bom, which scripts test for.
EXIT_CODES = {
    "bom-missing": 255,
    "hash-missing": 255,
    "file": 254,
    "bom-invalid": 253,
    "directory": 252,
    "link": 251,
    "hash": 249,
    "libraries": 248,
}
EXIT_FAILURE = 1
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser(arguments).parse_args(arguments)
    try:
        options.func(options)
    except OcclumError as error:
        for problem in error.problems:
            print_problem("error", problem)
        return EXIT_CODES.get(error.code, EXIT_FAILURE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return 0


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="occlum-build",
        description="Build Occlum enclave images without an Occlum toolchain.",
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    wanted = arguments[0] if arguments else ""
    for name in [VERBS[wanted]] if wanted in VERBS else dict.fromkeys(VERBS.values()):
        importlib.import_module(f"occlum_build.cli.{name}").add_parser(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
