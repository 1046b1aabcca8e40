"""What the commands `copy_bom` and `occlum` have in common: their usage, as scripts know it."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from occlum_build.version import VERSION

EXIT_USAGE = 1


class CommandParser(argparse.ArgumentParser):
    """A parser that ends with 1 where the usage is wrong, as Occlum's own commands do."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"{self.prog}: error: {message}\n")


def add_version(parser: argparse.ArgumentParser, version: str) -> None:
    """--version: the version of Occlum's command that this one stands in for, and our own."""
    text = f"{parser.prog} {version} (occlum-build {VERSION})"
    parser.add_argument("-V", "--version", action="version", version=text)
