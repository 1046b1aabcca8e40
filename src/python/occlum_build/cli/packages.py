"""`packages`: roots that are made of a distribution's packages."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the verb `packages` and its sub-verbs."""
    parser = subparsers.add_parser("packages", help="make root directories of .deb packages")
    verbs = parser.add_subparsers(dest="packages_verb", metavar="VERB", required=True)
    _add_unpack(verbs)


def _add_unpack(verbs: Any) -> None:
    parser = verbs.add_parser(
        "unpack",
        help="make a root directory of .deb files",
        description="Unpack .deb files to a new directory, which `copy-bom --sysroot` takes for "
        "the host. No script of a package is run: alternatives, a merged /usr, CA certificates, "
        "Java's trust store, passwd and nsswitch.conf are made as these would make them, and what "
        "is not imitated is told.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="must not exist")
    parser.add_argument(
        "--deb",
        metavar="FILE",
        type=Path,
        action="append",
        nargs="+",
        required=True,
        help="a .deb file, or a directory of such; can be given more than once",
    )
    parser.add_argument(
        "--no-merged-usr",
        action="store_true",
        help="leave /bin, /lib and the like as the packages have them",
    )
    parser.set_defaults(func=_unpack)


def _unpack(options: argparse.Namespace) -> None:
    from occlum_build.cli.output import print_problems
    from occlum_build.errors import OcclumError, Place
    from occlum_build.packages.assemble import assemble, debs_in

    debs = debs_in([one for several in options.deb for one in several])
    try:
        root = assemble(debs, options.directory, merged_usr=not options.no_merged_usr)
    except FileExistsError:
        place = Place(str(options.directory))
        raise OcclumError("output-exists", "exists already", place=place) from None
    print_problems(root.told)
