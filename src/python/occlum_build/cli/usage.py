"""How commands read their arguments and tell of wrong ones."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

from occlum_build.cli.output import print_usage_error
from occlum_build.version import VERSION

EXIT_USAGE = 1


class Formatter(argparse.HelpFormatter):
    """As wide as the terminal, as argparse has it, which asks `shutil`: slow to import."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


class RawFormatter(Formatter, argparse.RawDescriptionHelpFormatter):
    """One that leaves the lines of a description and an epilog as they are."""


def _columns() -> int:
    with suppress(ValueError):
        columns = int(os.environ.get("COLUMNS", ""))
        if columns > 0:
            return columns
    with suppress(AttributeError, ValueError, OSError):
        columns = os.get_terminal_size(sys.__stdout__.fileno()).columns
        if columns > 0:
            return columns
    return 80


class Parser(argparse.ArgumentParser):
    """A parser that ends with 2 where the usage is wrong."""

    exit_code = 2

    def __init__(self, *arguments: Any, **options: Any) -> None:
        options.setdefault("formatter_class", Formatter)
        super().__init__(*arguments, **options)

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
