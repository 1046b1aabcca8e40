"""`packages`: roots that are made of a distribution's packages."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli import packages_lock
from occlum_build.cli.output import print_problems
from occlum_build.cli.packages_inputs import add_download_options
from occlum_build.errors import OcclumError, Place

if TYPE_CHECKING:  # a run needs only what its verb does
    from occlum_build.packages.merge import PackagesRoot


def add_parser(subparsers: Any) -> None:
    """Add the verb `packages` and its sub-verbs."""
    parser = subparsers.add_parser("packages", help="make root directories of .deb packages")
    verbs = parser.add_subparsers(dest="packages_verb", metavar="VERB", required=True)
    _add_unpack(verbs)
    packages_lock.add_verbs(verbs)


def _add_unpack(verbs: Any) -> None:
    parser = verbs.add_parser(
        "unpack",
        help="make a root directory of .deb files, or of a lock file",
        description="Unpack packages to a new directory, which `copy-bom --sysroot` takes for "
        "the host. No script of a package is run: alternatives, a merged /usr, CA certificates, "
        "Java's trust store, passwd and nsswitch.conf are made as these would make them, and what "
        "is not imitated is told. With a lock file they are those of the lock.",
    )
    parser.add_argument("directory", metavar="DIR", type=Path, help="must not exist")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--deb",
        metavar="FILE",
        type=Path,
        action="append",
        nargs="+",
        help="a .deb file, or a directory of such; can be given more than once",
    )
    source.add_argument(
        "--lock",
        metavar=("FILE", "CONFIG"),
        type=Path,
        nargs=2,
        help="a lock file, and the configuration that it is of",
    )
    parser.add_argument(
        "--no-merged-usr",
        action="store_true",
        help="leave /bin, /lib and the like as the packages have them (with --deb)",
    )
    add_download_options(parser)
    parser.set_defaults(func=_unpack)


def _unpack(options: argparse.Namespace) -> None:
    root = _of_lock(options) if options.lock else _of_debs(options)
    print_problems(root.told)


@contextmanager
def _new(directory: Path) -> Iterator[None]:
    """The body makes a directory that must not be there."""
    try:
        yield
    except FileExistsError:
        hint = "remove it, or name a directory that is not there"
        place = Place(str(directory))
        raise OcclumError("output-exists", "exists already", place=place, hint=hint) from None


def _of_debs(options: argparse.Namespace) -> PackagesRoot:
    from occlum_build.packages.assemble import assemble, debs_in

    debs = debs_in([one for several in options.deb for one in several])
    with _new(options.directory):
        return assemble(debs, options.directory, merged_usr=not options.no_merged_usr)


def _of_lock(options: argparse.Namespace) -> PackagesRoot:
    from occlum_build.cli.packages_inputs import inputs, locked
    from occlum_build.files.recovery import sweep
    from occlum_build.packages.assemble import assemble_locked
    from occlum_build.packages.locking import fetch_debs

    if options.no_merged_usr:
        hint = "write `merged_usr: false` into the configuration, and lock it anew"
        raise OcclumError("usage", "--no-merged-usr goes with --deb alone", hint=hint)
    lock_file, config = options.lock
    with _new(options.directory):
        if options.directory.exists():  # told before all is downloaded
            sweep(options.directory.parent)
            raise FileExistsError
    with inputs(config, options) as (request, places):
        lock = locked(lock_file, request, config)
        debs = fetch_debs(lock, request, places)
    with _new(options.directory):
        return assemble_locked(lock, debs, options.directory, merged_usr=request.merged_usr)
