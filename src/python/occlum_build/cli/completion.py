"""`completion`: scripts by which shells complete verbs, options and files of `occlum-build`."""

from __future__ import annotations

import argparse
import pkgutil
from typing import Any

from occlum_build.cli.output import say_document

SHELLS = ("bash", "zsh", "fish")


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "completion",
        help="print a script for a shell that completes these commands",
        description="Print the script by which a shell completes verbs, options and files "
        "(docs/editors.md).",
        allow_abbrev=False,
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Print the script as it is."""
    say_document(read_script(options.shell))


def read_script(shell: str) -> bytes:
    """The bytes of a script."""
    file = f"completion_scripts/occlum-build.{shell}"
    return pkgutil.get_data("occlum_build.cli", file) or b""
