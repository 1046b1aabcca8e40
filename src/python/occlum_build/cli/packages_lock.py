"""`packages lock`, `check` and `mirror`: what lock files are made of, and what is made of them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.cli.output import print_operation, print_problem, print_problems, say
from occlum_build.cli.packages_inputs import add_download_options, inputs, locked
from occlum_build.errors import WARNING, OcclumError, Place

if TYPE_CHECKING:  # a run needs only what its verb does
    from occlum_build.packages.lock import PackagesLock


def add_verbs(verbs: Any) -> None:
    """Add the verbs to those of `packages`."""
    lock = _add(verbs, "lock", _lock, "resolve packages and write their lock file")
    lock.add_argument(
        "--diff", action="store_true", help="print what differs from the lock file so far"
    )
    _add(
        verbs,
        "check",
        _check,
        "tell which locked versions are in no index any more; fails if there are",
    )
    mirror = _add(
        verbs, "mirror", _mirror, "write the .deb files of a lock file to a directory, as in a pool"
    )
    mirror.add_argument("directory", metavar="DIR", type=Path, help="made when missing")


def _add(verbs: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    description = f"{text[0].upper()}{text[1:]}."
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=description)
    parser.add_argument(
        "config", metavar="CONFIG", type=Path, help="archives and packages, in YAML"
    )
    parser.add_argument("--lock", metavar="FILE", type=Path, required=True, help="the lock file")
    add_download_options(parser)
    parser.set_defaults(func=function)
    return parser


def _lock(options: argparse.Namespace) -> None:
    from occlum_build.files.change import Change
    from occlum_build.packages.deriving import derive
    from occlum_build.packages.lock import PackagesLock, write_lock
    from occlum_build.packages.lock_changes import changes_of
    from occlum_build.packages.locking import make_lock

    with inputs(options.config, options) as (request, places):
        old = _old(options.lock, options.config)
        found = make_lock(request, places, derive, old)
    print_problems(found.told)
    with Change() as change:
        change.write(options.lock, write_lock(found.lock))
        change.commit()
    if options.diff:
        for line in changes_of(old or PackagesLock({}), found.lock).lines():
            say(line)
    size = sum(one.size for one in found.lock.packages)
    print_operation(f"{options.lock}: {len(found.lock.packages)} packages, {size:,} bytes")


def _old(file: Path, config: Path) -> PackagesLock | None:
    """The lock that is replaced; None where there is none, or one that is damaged.

    Raises OcclumError `packages-lock` for a file that is something else.
    """
    from occlum_build.files.bounds import LOCK_BYTES
    from occlum_build.files.reading import read_file
    from occlum_build.packages.lock import CODE, check_replaced, read_lock

    if not file.exists():
        return None
    if file.samefile(config):
        hint = "let --lock name another file"
        raise OcclumError(CODE, "is the configuration itself", place=Place(str(file)), hint=hint)
    data = read_file(file, LOCK_BYTES, code=CODE)
    check_replaced(data, str(file))
    try:
        return read_lock(data, str(file))
    except OcclumError as error:
        message = f"what was locked is not looked at: {error.problems[0].message}"
        print_problem(replace(error.problems[0], message=message, hint="", severity=WARNING))
        return None


def _check(options: argparse.Namespace) -> None:
    from occlum_build.packages.locking import gone_of

    with inputs(options.config, options) as (request, places):
        problems = gone_of(locked(options.lock, request, options.config), request, places)
    if problems:
        raise OcclumError.of(problems)


def _mirror(options: argparse.Namespace) -> None:
    from occlum_build.packages.locking import mirror_debs, mirrors_of

    with inputs(options.config, options) as (request, places):
        lock = locked(options.lock, request, options.config)
        mirrors = mirrors_of(request, places)
        count = mirror_debs(lock, mirrors, options.directory, options.parallel)
    print_operation(f"{options.directory}: {count} packages")
