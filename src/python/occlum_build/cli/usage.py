"""How commands read their arguments and tell of wrong ones."""

from __future__ import annotations

import argparse
from typing import NoReturn

from occlum_build.cli.output import print_usage_error
from occlum_build.version import VERSION

EXIT_USAGE = 1


class Parser(argparse.ArgumentParser):
    """A parser that ends with 2 where the usage is wrong."""

    exit_code = 2

    def error(self, message: str) -> NoReturn:
        print_usage_error(self.format_usage(), self.prog, message)
        raise SystemExit(self.exit_code)


class CommandParser(Parser):
    """A parser of `copy_bom` or `occlum`: it ends with 1, as Occlum's own commands do."""

    exit_code = EXIT_USAGE


def add_version(parser: argparse.ArgumentParser, version: str) -> None:
    """--version: the version of Occlum's command that this one stands in for, and our own."""
    text = f"{parser.prog} {version} (occlum-build {VERSION})"
    parser.add_argument("-V", "--version", action="version", version=text)
