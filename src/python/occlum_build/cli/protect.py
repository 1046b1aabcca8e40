"""`protect`, `show`, `show-mac`: single integrity-only protected files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from occlum_build.cli.output import say, say_bytes
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.protect import file_mac, protect_file, show_file


def add_parser(subparsers: Any) -> None:
    """Add the three verbs."""
    for verb, func, text in (
        ("protect", _protect, "write FILE.protected, an integrity-only protected file"),
        ("show", _show, "print the content of an integrity-only protected file"),
        ("show-mac", _show_mac, "print the MAC of an integrity-only protected file"),
    ):
        parser = subparsers.add_parser(verb, help=text, description=text)
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.set_defaults(func=func)


def _protect(args: argparse.Namespace) -> int:
    protect_file(args.file)
    return 0


def _show(args: argparse.Namespace) -> int:
    for piece in show_file(args.file):
        say_bytes(piece)
    return 0


def _show_mac(args: argparse.Namespace) -> int:
    say(format_mac(file_mac(args.file)))
    return 0
