"""`generate-lockfiles` for `occlum_packages`: resolves its packages and pins them.

A resolve is named after the target's address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pants.base.build_root import BuildRoot
from pants.core.goals.generate_lockfiles import (
    GenerateLockfile,
    GenerateLockfileResult,
    GenerateLockfilesSubsystem,
    KnownUserResolveNames,
    KnownUserResolveNamesRequest,
    LockfileDiff,
    RequestedUserResolveNames,
    UserGenerateLockfiles,
)
from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, FileContent
from pants.engine.rules import Rule
from pants.engine.target import AllTargets, Target
from pants.engine.unions import UnionRule
from pants.option.global_options import NamedCachesDirOption
from pants.util.logging import LogLevel

from occlum_build.errors import ERROR, WARNING, OcclumError, Problem
from occlum_build.files.bounds import LOCK_BYTES
from occlum_build.files.reading import too_large
from occlum_build.packages.config import LocalDeb, PackagesRequest
from occlum_build.packages.deriving import begin, finish
from occlum_build.packages.index import DebIndex
from occlum_build.packages.lock import CODE, PackagesLock, check_replaced, read_lock, write_lock
from occlum_build.packages.locking import HINT_ABSENT, make_lock, with_given
from occlum_build.packages.made import SOURCE_BYTES
from occlum_build.packages.unpack import contents_of_deb
from pants_occlum.compat.by_name import (
    _uncacheable_rule,
    collect_rules,
    concurrently,
    implicitly,
    rule,
)
from pants_occlum.compat.pants_rules import create_digest
from pants_occlum.logs import logger_of
from pants_occlum.packages.debs import (
    DebRequest,
    FetchRequest,
    fetched_debs,
    index_deb,
    indexes_of,
    places_of,
)
from pants_occlum.packages.lock_versions import lock_diff
from pants_occlum.packages.progress import with_progress
from pants_occlum.packages.requests import PackagesOf, asked_packages, lockfile_of
from pants_occlum.packages.target_types import PackagesArchivesField
from pants_occlum.problems import packages_errors
from pants_occlum.project_texts import project_texts
from pants_occlum.subsystem import OcclumSubsystem
from pants_occlum.unlocked import lock_as_it_is, lock_files_of

logger = logger_of(__name__)


class KnownPackagesNames(KnownUserResolveNamesRequest):
    pass


class RequestedPackagesNames(RequestedUserResolveNames):
    pass


@dataclass(frozen=True)
class GeneratePackagesLock(GenerateLockfile):
    address: Address


@dataclass(frozen=True)
class PinRequest:
    """An `occlum_packages`; with `diff` also what moved since the lock file that is there."""

    address: Address
    lockfile: str
    diff: bool


@dataclass(frozen=True)
class Pinned:
    lock_file: bytes
    diff: LockfileDiff | None


@dataclass(frozen=True)
class PackagesTargets:
    """All `occlum_packages`, by their addresses."""

    targets: Mapping[str, Target]


@dataclass(frozen=True)
class ResolveRequest:
    address: Address


@dataclass(frozen=True)
class Resolved:
    """A new lock without what is derived, of a request, and the old one if it can be read."""

    request: PackagesRequest
    lock: PackagesLock
    old: PackagesLock


@rule(level=LogLevel.DEBUG)
async def packages_targets(targets: AllTargets) -> PackagesTargets:
    found = [target for target in targets if target.has_field(PackagesArchivesField)]
    return PackagesTargets({target.address.spec: target for target in found})


@rule(level=LogLevel.DEBUG)
async def known_names(_: KnownPackagesNames, packages: PackagesTargets) -> KnownUserResolveNames:
    return KnownUserResolveNames(
        names=tuple(sorted(packages.targets)),
        option_name="the addresses of `occlum_packages` targets",
        requested_resolve_names_cls=RequestedPackagesNames,
    )


# Not memoised, so that what is wrong is told in each run.
@_uncacheable_rule(level=LogLevel.DEBUG)
async def requested_locks(
    names: RequestedPackagesNames,
    packages: PackagesTargets,
    everything: AllTargets,
    goal: GenerateLockfilesSubsystem,
) -> UserGenerateLockfiles:
    targets = packages.targets
    return UserGenerateLockfiles(
        GeneratePackagesLock(name, file, False, targets[name].address)
        for name, file in lock_files_of(targets, names, lockfile_of, goal, everything).items()
    )


@_uncacheable_rule(desc="Resolve packages")
async def resolved_packages(
    request: ResolveRequest,
    occlum: OcclumSubsystem,
    build_root: BuildRoot,
    named_caches_dir: NamedCachesDirOption,
) -> Resolved:
    asked = await asked_packages(PackagesOf(request.address), **implicitly())
    found = await project_texts([asked.lockfile], LOCK_BYTES)
    if found.too_large:
        raise too_large(asked.lockfile, LOCK_BYTES, CODE)
    old = _old_lock(asked.lockfile, found.contents.get(asked.lockfile))
    local = [
        DebRequest(one.sha256, one.size, asked.request.merged_usr, one.path)
        for one in asked.request.debs
    ]
    indexed = await concurrently(index_deb(one) for one in local)
    debs = tuple(
        LocalDeb(one.path, one.sha256, one.size, _stanza(found.index))
        for one, found in zip(asked.request.debs, indexed)
    )
    wanted = replace(asked.request, debs=debs)
    places = await places_of(asked, occlum, named_caches_dir, build_root)
    locking = with_progress(
        f"indexes of {request.address}",
        lambda progress: make_lock(wanted, replace(places, progress=progress), None, old),
    )
    _tell(locking.told)
    return Resolved(wanted, locking.lock, old)


async def _derived(address: Address, resolved: Resolved) -> PackagesLock:
    """The lock with the links and files that scripts would have made."""
    asked, lock = resolved.request, resolved.lock
    indexed = await indexes_of(address, lock, merged_usr=asked.merged_usr, hint=HINT_ABSENT)
    indexes = [one.index for one in indexed]
    begun = begin(asked, indexes)
    sources = tuple(one for one in lock.packages if one.package in begun.sources)
    wanted = FetchRequest(address, sources, lock.suites, HINT_ABSENT)
    fetched = await fetched_debs(wanted, **implicitly())
    by_name = {one.package: one for one in indexes}
    contents: dict[str, bytes] = {}
    for one in sources:
        file, index = Path(fetched.files[one.sha256]), by_name[one.package]
        paths = begun.sources[one.package]
        contents.update(contents_of_deb(file, index, paths, SOURCE_BYTES, name=index.name))
    derived = finish(begun, contents)
    _tell(derived.told)
    links = with_given(derived.links, dict(asked.links))
    return replace(lock, links=links, made=derived.made)


@rule(desc="Pin packages")
async def pin_packages(request: PinRequest) -> Pinned:
    with packages_errors(request.address):
        resolved = await resolved_packages(ResolveRequest(request.address), **implicitly())
        lock = await _derived(request.address, resolved)
        data = write_lock(lock)
    path, name = request.lockfile, request.address.spec
    diff = lock_diff(path, name, resolved.old, lock) if request.diff else None
    return Pinned(data, diff)


@rule
async def generate_lock(
    request: GeneratePackagesLock, goal: GenerateLockfilesSubsystem
) -> GenerateLockfileResult:
    path = request.lockfile_dest
    try:
        pinned = await pin_packages(PinRequest(request.address, path, request.diff))
    except Exception as error:  # noqa: BLE001 - whatever is wrong: others' lock files are written
        return await lock_as_it_is(request, error, goal)
    digest = await create_digest(CreateDigest([FileContent(path, pinned.lock_file)]))
    return GenerateLockfileResult(digest, request.resolve_name, path, pinned.diff)


def _old_lock(path: str, data: bytes | None) -> PackagesLock:
    """The lock file that was there; empty where there was none, or none that can be read.

    Raises OcclumError `packages-lock` for a file that is something else.
    """
    check_replaced(data or b"", path)
    try:
        return read_lock(data, path) if data else PackagesLock({})
    except OcclumError as error:
        logger.warning("what was locked is not looked at, as the lock file is damaged: %s", error)
        return PackagesLock({})


def _stanza(index: DebIndex) -> tuple[tuple[str, str], ...]:
    """The fields of a .deb of the project, as an archive would have them."""
    own = {"Package": index.package, "Version": index.version, "Architecture": index.architecture}
    return tuple(sorted({**index.control, **own}.items()))


def _tell(problems: Iterable[Problem]) -> None:
    for one in problems:
        log = logger.warning if one.severity in (ERROR, WARNING) else logger.info
        log(str(one))


def rules() -> Iterable[Rule | UnionRule]:
    return (
        *collect_rules(),
        UnionRule(GenerateLockfile, GeneratePackagesLock),
        UnionRule(KnownUserResolveNamesRequest, KnownPackagesNames),
        UnionRule(RequestedUserResolveNames, RequestedPackagesNames),
    )
