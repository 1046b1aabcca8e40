"""`packages`: lock packages of archives, tell which have left them, and mirror those of a lock."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from occlum_build.cli.output import Progress, print_operation, print_problems, say
from occlum_build.errors import OcclumError

if TYPE_CHECKING:  # a run needs only what its verb does
    from occlum_build.packages.config import PackagesRequest
    from occlum_build.packages.lock import PackagesLock
    from occlum_build.packages.locking import Places

CACHE = "~/.cache/occlum-build/packages"


def add_verbs(verbs: Any) -> None:
    """Add `lock`, `check` and `mirror` to those of `packages`."""
    for verb, function, text in (
        ("lock", _lock, "resolve packages and write their lock file"),
        (
            "check",
            _check,
            "tell which locked versions are in no index any more; fails if there are",
        ),
        ("mirror", _mirror, "write the .deb files of a lock file to a directory, as archives do"),
    ):
        parser = verbs.add_parser(verb, help=text, description=f"{text.capitalize()}.")
        parser.add_argument(
            "config", metavar="CONFIG", type=Path, help="archives and packages, in YAML"
        )
        parser.add_argument(
            "--lock", metavar="FILE", type=Path, required=True, help="the lock file"
        )
        if verb == "mirror":
            parser.add_argument("directory", metavar="DIR", type=Path, help="made when missing")
        if verb == "lock":
            parser.add_argument(
                "--diff", action="store_true", help="print what differs from the lock file so far"
            )
        parser.add_argument(
            "--cache",
            metavar="DIR",
            type=Path,
            default=Path(CACHE),
            help=f"for indexes and .deb files, by SHA-256 (default: {CACHE})",
        )
        parser.add_argument(
            "--parallel",
            metavar="N",
            type=_count,
            default=8,
            help="downloads at a time (default: 8)",
        )
        parser.set_defaults(func=function)


def _count(text: str) -> int:
    """From 1 to 64."""
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= 64:
        return int(text)
    raise argparse.ArgumentTypeError("must be a number from 1 to 64")


def _configuration(options: argparse.Namespace) -> tuple[PackagesRequest, Places]:
    """The request, and where its files are."""
    from occlum_build.packages.config_file import read_configuration
    from occlum_build.packages.locking import Places

    request, debs = read_configuration(options.config, _no_debs)
    cache = options.cache.expanduser()
    return request, Places(cache, debs, parallel=options.parallel, progress=_Bar())


def _no_debs(path: Path) -> NoReturn:
    raise OcclumError("packages-config", f"{path}: no .deb can be named yet")


class _Bar:
    """Downloads on a terminal, of which more may be found while they run."""

    def __init__(self) -> None:
        self.bar = Progress("download", 1)
        self.expected = 0

    def __call__(self, came: int, expected: int) -> None:
        self.expected += expected
        self.bar.total = max(self.expected, 1)
        self.bar.advance(came)
        if self.bar.done >= self.expected:
            self.bar.close()


def _read(options: argparse.Namespace) -> PackagesLock | None:
    """The lock file, None where there is none."""
    from occlum_build.files.bounds import LOCK_BYTES
    from occlum_build.files.reading import read_file
    from occlum_build.packages.lock import read_lock

    if not options.lock.exists():
        return None
    return read_lock(read_file(options.lock, LOCK_BYTES), str(options.lock))


def _read_checked(options: argparse.Namespace, request: PackagesRequest) -> PackagesLock:
    """The lock file, which must be that of the request."""
    from occlum_build.packages.lock_changes import check_request, no_lock

    command = f"occlum-build packages lock {options.config} --lock {options.lock}"
    lock = _read(options)
    if lock is None:
        raise no_lock(str(options.lock), command=command)
    check_request(lock, request, str(options.lock), command=command)
    return lock


def _lock(options: argparse.Namespace) -> None:
    from occlum_build.files.change import Change
    from occlum_build.packages.lock import PackagesLock, write_lock
    from occlum_build.packages.lock_changes import changes_of
    from occlum_build.packages.locking import make_lock

    request, places = _configuration(options)
    old = _read(options)
    found = make_lock(request, places, old=old)
    print_problems(found.told)
    with Change() as change:
        change.write(options.lock, write_lock(found.lock))
        change.commit()
    if options.diff:
        for line in changes_of(old or PackagesLock({}), found.lock).lines():
            say(line)
    size = sum(one.size for one in found.lock.packages)
    print_operation(f"{options.lock}: {len(found.lock.packages)} packages, {size:,} bytes")


def _check(options: argparse.Namespace) -> None:
    from occlum_build.packages.locking import gone_of

    request, places = _configuration(options)
    problems = gone_of(_read_checked(options, request), request, places)
    if problems:
        raise OcclumError.of(problems)


def _mirror(options: argparse.Namespace) -> None:
    from occlum_build.packages.locking import mirror_debs, mirrors_of

    request, places = _configuration(options)
    lock = _read_checked(options, request)
    count = mirror_debs(lock, mirrors_of(request, places), options.directory, options.parallel)
    print_operation(f"{options.directory}: {count} packages")
