"""`package`: the archive of a built instance that is run on another machine."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from occlum_build.cli.output import print_problems, say
from occlum_build.errors import OcclumError, Place
from occlum_build.files.journal import NAME_BYTES
from occlum_build.occlum.findings import package_findings
from occlum_build.occlum.instance import reading
from occlum_build.occlum.package import SUFFIX, check_packageable, package
from occlum_build.shown import quoted


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "package", help="make an archive of the built instance in the working directory"
    )
    parser.add_argument(
        "name", nargs="?", metavar=f"NAME[{SUFFIX}]", help="default: the directory's name"
    )
    parser.add_argument(
        "--debug", action="store_true", help="also a debuggable or simulated enclave"
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> None:
    """Write NAME.tar.gz, in which all is below NAME/."""
    instance = Path.cwd()
    top = options.name or instance.name
    if top.endswith(SUFFIX):
        top = top[: -len(SUFFIX)]
    if top in ("", ".", "..") or "/" in top:
        raise OcclumError("usage", f"{quoted(top)} is no name of a directory")
    write_archive(instance / f"{top}{SUFFIX}", debug=options.debug)
    say(f"{top}{SUFFIX} generated")


def write_archive(out: Path, *, debug: bool) -> None:
    """Archive the instance in the working directory; tells again what was told when it was built.

    All is below a directory with the name of the archive, without SUFFIX.
    """
    if len(os.fsencode(out.name)) > NAME_BYTES:
        message = f"the name of the archive has more than {NAME_BYTES} bytes"
        hint = f"give a NAME of at most {NAME_BYTES - len(SUFFIX)} bytes"
        raise OcclumError("package", message, place=Place(str(out)), hint=hint)
    instance = Path.cwd()
    with reading(instance):
        check_packageable(instance, debug=debug)
        print_problems(package_findings(instance))
        print_problems(package(instance, out, out.name[: -len(SUFFIX)]))
