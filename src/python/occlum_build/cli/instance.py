"""`new` and `init`: a fresh instance directory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

DEFAULT_TOOLCHAIN = Path("/opt/occlum")


def add_parser(subparsers: Any) -> None:
    """Add both verbs."""
    new = subparsers.add_parser("new", help="make a directory with a fresh instance")
    new.add_argument("path", type=Path, metavar="PATH", help="must not exist")
    new.set_defaults(func=_new)
    init = subparsers.add_parser("init", help="make the working directory a fresh instance")
    init.set_defaults(func=_init)
    for parser in (new, init):
        add_toolchain_option(parser)
        parser.add_argument(
            "--localtime",
            type=Path,
            metavar="FILE",
            help="time zone file for image and initfs; without it their time is UTC",
        )


def add_toolchain_option(parser: argparse.ArgumentParser) -> None:
    """--toolchain, an installed Occlum or a copy of one."""
    parser.add_argument(
        "--toolchain",
        type=Path,
        default=DEFAULT_TOOLCHAIN,
        metavar="DIR",
        help=f"Occlum, or the root of a system that has it (default: {DEFAULT_TOOLCHAIN})",
    )


def _new(options: argparse.Namespace) -> None:
    from occlum_build.occlum.fresh import make_instance, plan_fresh

    planned = plan_fresh(options.toolchain, options.localtime)
    make_instance(options.path.absolute(), planned)
    print(f"{options.path} initialized as an Occlum instance")


def _init(options: argparse.Namespace) -> None:
    from occlum_build.occlum.fresh import init_instance, plan_fresh

    init_instance(Path.cwd(), plan_fresh(options.toolchain, options.localtime))
    print(f"{Path.cwd()} initialized as an Occlum instance")
