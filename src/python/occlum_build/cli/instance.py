"""`new` and `init`: a fresh instance directory."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from occlum_build.cli.output import say
from occlum_build.errors import OcclumError, Problem

DEFAULT_TOOLCHAIN = Path("/opt/occlum")
_VARIABLE = "OCCLUM_TOOLCHAIN"
INIT_RA = ("grpc_ratls", "aecs")


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
        parser.add_argument(
            "--init-ra",
            choices=INIT_RA,
            default="",
            help="an initfs whose init gets the image's key by remote attestation",
        )


def add_toolchain_option(parser: argparse.ArgumentParser) -> None:
    """--toolchain, an installed Occlum or a copy of one."""
    parser.add_argument(
        "--toolchain",
        type=Path,
        default=toolchain_of_environment(),
        metavar="DIR",
        help="Occlum, or the root of a system that has it "
        f"(default: {_VARIABLE}, or {DEFAULT_TOOLCHAIN})",
    )


def toolchain_of_environment() -> Path:
    """Where the toolchain is when no option says it."""
    return Path(os.environ.get(_VARIABLE) or DEFAULT_TOOLCHAIN)


@contextmanager
def naming_toolchain_option() -> Iterator[None]:
    """Add to errors about the toolchain how it is named on the command line."""
    try:
        yield
    except OcclumError as error:
        raise OcclumError.of(list(map(_with_option, error.problems)), error.told) from None


def _with_option(problem: Problem) -> Problem:
    if not problem.code.startswith("toolchain"):
        return problem
    option = f"--toolchain or {_VARIABLE} says where it is"
    return replace(problem, hint=f"{problem.hint}; {option}" if problem.hint else option)


def _new(options: argparse.Namespace) -> None:
    from occlum_build.occlum.fresh import make_instance, plan_fresh

    with naming_toolchain_option():
        planned = plan_fresh(options.toolchain, options.localtime, options.init_ra)
    make_instance(options.path.absolute(), planned)
    say(f"{options.path} initialized as an Occlum instance")


def _init(options: argparse.Namespace) -> None:
    from occlum_build.occlum.fresh import init_instance, plan_fresh

    with naming_toolchain_option():
        planned = plan_fresh(options.toolchain, options.localtime, options.init_ra)
    init_instance(Path.cwd(), planned)
    say(f"{Path.cwd()} initialized as an Occlum instance")
