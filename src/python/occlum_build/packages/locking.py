"""Makes the lock of a request: verified suites, resolved packages, links and made files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple, TypeVar

from occlum_build.errors import OcclumError, Place, Problem, Report
from occlum_build.packages.config import PackagesRequest
from occlum_build.packages.fetching import PARALLEL, ToFetch, fetch_all, is_whole
from occlum_build.packages.lock import (
    CODE,
    LockedLink,
    LockedMade,
    LockedPackage,
    PackagesLock,
)
from occlum_build.packages.mirrors import Mirrors, Progress, gone, untold
from occlum_build.packages.package import Package
from occlum_build.packages.release import snapshot_text
from occlum_build.packages.resolve import Solution, Wish, resolve
from occlum_build.packages.suites import Fetching, SignedSuite, fetch_indexes, signed_suite
from occlum_build.packages.universe import Universe
from occlum_build.packages.urls import Wanted

HINT_GONE = (
    "write the lock anew, or add a mirror that keeps old versions ('{snapshot}' in a template)"
)
HINT_ABSENT = "the archive's index has it: try it again later, or add a mirror that is complete"


class FetchedDeb(NamedTuple):
    """A package of a lock, and the file with its bytes."""

    package: LockedPackage
    file: Path


class Derived(NamedTuple):
    """What no package has, because no maintainer script is run, and what is to be told of it."""

    links: tuple[LockedLink, ...] = ()
    made: tuple[LockedMade, ...] = ()
    told: tuple[Problem, ...] = ()


T = TypeVar("T")
# Reads .debs, all of a lock, and says what their scripts would have made.
Derive = Callable[[PackagesRequest, Sequence[FetchedDeb]], Derived]


@dataclass(frozen=True)
class Places:
    """Where things are on this machine, which no lock depends on.

    cache: a directory for indexes and .debs. debs: path of a .deb of the project -> its file.
    mirrors: name of an archive -> mirrors before its own. environment: variables of proxies and
    certificates. now: what Valid-Until is compared with. config: where the request stands.
    """

    cache: Path
    debs: Mapping[str, Path] = field(default_factory=dict)
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parallel: int = PARALLEL
    progress: Progress = untold
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    config: Place | None = None


class Locking(NamedTuple):
    """A new lock, and what is to be told beside it."""

    lock: PackagesLock
    told: tuple[Problem, ...] = ()


def mirrors_of(request: PackagesRequest, places: Places) -> dict[str, Mirrors]:
    """The mirrors of each archive, the machine's own first."""
    return {
        archive.name: Mirrors(
            [*places.mirrors.get(archive.name, ()), *archive.mirrors],
            places.progress,
            places.environment,
        )
        for archive in request.archives
    }


def make_lock(
    request: PackagesRequest,
    places: Places,
    derive: Derive | None = None,
    old: PackagesLock | None = None,
) -> Locking:
    """Resolve a request anew. old: the lock that is replaced, against rollback.

    Without `derive` no .deb is fetched, and links are those of the request alone. Raises
    OcclumError.
    """
    mirrors = mirrors_of(request, places)
    suites, universe = _universe(request, places, mirrors, old)
    wish = Wish(
        request.packages, request.without, request.essential, request.recommends, request.merged_usr
    )
    solution = _resolved(universe, wish, places.config)
    packages = tuple(map(locked_package, solution.packages.values()))
    lock = PackagesLock(request.digests(), tuple(one.locked for one in suites), packages)
    derived = Derived()
    if derive is not None:
        debs = fetch_debs(lock, request, places, mirrors, hint=HINT_ABSENT)
        derived = derive(request, debs)
    links = with_given(derived.links, dict(request.links))
    return Locking(
        PackagesLock(lock.request, lock.suites, packages, links, derived.made), derived.told
    )


def _resolved(universe: Universe, wish: Wish, place: Place | None) -> Solution:
    try:
        return resolve(universe, wish)
    except OcclumError as error:
        problems = [replace(one, place=one.place or place) for one in error.problems]
        raise OcclumError.of(problems, error.told) from None


def _universe(
    request: PackagesRequest,
    places: Places,
    mirrors: Mapping[str, Mirrors],
    old: PackagesLock | None,
) -> tuple[list[SignedSuite], Universe]:
    """All that the archives of a request have now."""
    fetching = Fetching(places.cache, mirrors, places.now, places.parallel, old)
    report = Report()
    suites: list[SignedSuite] = []
    for archive in request.archives:
        for name in dict.fromkeys(archive.suites):
            with report:
                suites.append(signed_suite(archive, name, fetching))
    report.raise_errors()
    indexes = fetch_indexes(suites, request.architecture, fetching)
    return suites, Universe(indexes, request.debs, request.architecture)


def gone_of(lock: PackagesLock, request: PackagesRequest, places: Places) -> list[Problem]:
    """A problem for each package of a lock that is in no index of its archive any more.

    Raises OcclumError for indexes that cannot be had.
    """
    _, universe = _universe(request, places, mirrors_of(request, places), lock)
    problems = []
    for one in lock.packages:
        there = [package for package in universe.all(one.package) if package.archive == one.archive]
        if one.archive and not any(package.sha256 == one.sha256 for package in there):
            message = f"{one.package} {one.version} is in no suite of {one.archive} any more"
            now = f" (there is {there[0].version})" if there else ""
            problems.append(Problem("package-gone", message + now, hint=HINT_GONE))
    return problems


def locked_package(package: Package) -> LockedPackage:
    """A package as it stands in a lock."""
    return LockedPackage(
        package.name,
        package.version,
        package.architecture,
        package.archive,
        package.path,
        package.sha256,
        package.size,
    )


def with_given(derived: Iterable[LockedLink], given: Mapping[str, str]) -> tuple[LockedLink, ...]:
    """Derived links with those that a request adds, overrides, or removes by ""."""
    links = {one.path: one for one in derived if one.path not in given}
    for path, target in given.items():
        if target:
            links[path] = LockedLink(path, target, "links")
    return tuple(links[path] for path in sorted(links))


def wanted_of(package: LockedPackage, lock: PackagesLock) -> Wanted:
    """What to ask mirrors for, to get a package of a lock."""
    snapshot = snapshot_text(lock.newest_date(package.archive))
    what = f"{package.package} {package.version}"
    return Wanted(package.path, package.sha256, package.size, snapshot, what)


def fetch_debs(
    lock: PackagesLock,
    request: PackagesRequest,
    places: Places,
    mirrors: Mapping[str, Mirrors] | None = None,
    *,
    hint: str = HINT_GONE,
    also: Sequence[str] = (),
) -> list[FetchedDeb]:
    """The .debs of a lock, from the cache or from mirrors, compared with their SHA-256.

    also: other places that were asked for what is not in the cache, `who: why`, for the error.
    Raises OcclumError `package-gone` with all that are nowhere to be had.
    """
    mirrors = mirrors_of(request, places) if mirrors is None else mirrors
    found, todo = [], []
    for package in lock.packages:
        if not package.archive:
            file = _of(places.debs, package.path, package)
            _check_whole(file, wanted_of(package, lock))
            found.append(FetchedDeb(package, file))
            continue
        file = places.cache / "debs" / f"{package.sha256}.deb"
        found.append(FetchedDeb(package, file))
        archive = _of(mirrors, package.archive, package)
        todo.append((archive, wanted_of(package, lock), file))
    _fetch(todo, places.parallel, hint, also)
    return found


def _check_whole(file: Path, wanted: Wanted) -> None:
    if not is_whole(file, wanted):
        message = f"{wanted.path} is not the file that is locked, sha256 {wanted.sha256}"
        raise OcclumError(CODE, message, hint="write the lock anew")


def mirror_debs(
    lock: PackagesLock, mirrors: Mapping[str, Mirrors], directory: Path, parallel: int = PARALLEL
) -> int:
    """Write the .debs of a lock as an archive has them; how many. Files of a project are left out.

    What is there already and right stays. Raises OcclumError `package-gone`, and `packages-mirror`
    where two archives have other files under one path.
    """
    todo: dict[str, LockedPackage] = {}
    for one in (package for package in lock.packages if package.archive):
        other = todo.setdefault(one.path, one)
        if other.sha256 != one.sha256:
            message = f"{one.path} is another file in {other.archive} and in {one.archive}"
            raise OcclumError("packages-mirror", message, hint="mirror them by a lock file each")
    wanted = [
        (_of(mirrors, one.archive, one), wanted_of(one, lock), directory / one.path)
        for one in todo.values()
    ]
    _fetch(wanted, parallel, HINT_GONE)
    return len(wanted)


def _of(found: Mapping[str, T], name: str, package: LockedPackage) -> T:
    """Raises OcclumError where a lock, which somebody has edited, names what there is not."""
    if name not in found:
        message = f"{package.package} is of {name}, which the request does not name"
        raise OcclumError(CODE, message, hint="write the lock anew")
    return found[name]


def _fetch(wanted: Sequence[ToFetch], parallel: int, hint: str, also: Sequence[str] = ()) -> None:
    failures = fetch_all(wanted, parallel)
    problems = [
        gone(file, failed, hint=hint, also=also)
        for (_, file, _), failed in zip(wanted, failures)
        if failed
    ]
    if problems:
        raise OcclumError.of(problems)
