"""`generate-lockfiles` for `occlum_sysroot`: pins what the plans of its images look at.

A resolve is named after the target's address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Union

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
from pants.engine.fs import CreateDigest, FileContent
from pants.engine.rules import Rule
from pants.engine.target import AllTargets, Target
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import LOCK_BYTES
from occlum_build.files.reading import too_large
from occlum_build.sysroot.debian_version import DebianVersion
from occlum_build.sysroot.lock import Lock, read_lock, write_lock
from occlum_build.sysroot.looked import lock_of, with_owners
from pants_occlum.bom.target_types import ImageBomsField
from pants_occlum.compat.by_name import (
    _uncacheable_rule,
    collect_rules,
    concurrently,
    implicitly,
    rule,
)
from pants_occlum.compat.pants_rules import (
    create_digest,
    resolve_unparsed_address_inputs,
)
from pants_occlum.image.nodes import plan_request
from pants_occlum.image.planning import LookedAtBy, look_for_pins
from pants_occlum.logs import logger_of
from pants_occlum.packages.lock_versions import ContentVersion, frozen
from pants_occlum.project_texts import ProjectTexts, project_texts
from pants_occlum.subsystem import OcclumSubsystem
from pants_occlum.sysroot.pins import PackagesRequest, ask_packages
from pants_occlum.sysroot.sysroots import Sysroot, SysrootOf, sysroot_of_target, sysroot_target
from pants_occlum.sysroot.target_types import SysrootField, SysrootLockfileField
from pants_occlum.unlocked import lock_as_it_is, lock_files_of

logger = logger_of(__name__)


class KnownSysrootNames(KnownUserResolveNamesRequest):
    pass


class RequestedSysrootNames(RequestedUserResolveNames):
    pass


@dataclass(frozen=True)
class GenerateSysrootLock(GenerateLockfile):
    sysroot: Sysroot


@dataclass(frozen=True)
class PinRequest:
    """A sysroot; with `diff` also what moved since the lock file that is there."""

    sysroot: Sysroot
    diff: bool


@dataclass(frozen=True)
class Pinned:
    lock_file: bytes
    diff: LockfileDiff | None


@dataclass(frozen=True)
class LockedSysroots:
    """The sysroots that have a lock file, by the addresses of their targets."""

    targets: Mapping[str, Target]


Version = Union[DebianVersion, ContentVersion]


@rule(level=LogLevel.DEBUG)
async def locked_sysroots(targets: AllTargets) -> LockedSysroots:
    found = [
        target
        for target in targets
        if target.has_field(SysrootLockfileField) and target[SysrootLockfileField].value
    ]
    return LockedSysroots({target.address.spec: target for target in found})


@rule(level=LogLevel.DEBUG)
async def known_names(_: KnownSysrootNames, sysroots: LockedSysroots) -> KnownUserResolveNames:
    return KnownUserResolveNames(
        names=tuple(sorted(sysroots.targets)),
        option_name="the addresses of `occlum_sysroot` targets",
        requested_resolve_names_cls=RequestedSysrootNames,
    )


# Not memoised, so that what is wrong is told in each run.
@_uncacheable_rule(level=LogLevel.DEBUG)
async def requested_locks(
    names: RequestedSysrootNames,
    sysroots: LockedSysroots,
    everything: AllTargets,
    goal: GenerateLockfilesSubsystem,
    occlum: OcclumSubsystem,
    build_root: BuildRoot,
) -> UserGenerateLockfiles:
    def sysroot_of(target: Target) -> Sysroot:
        return sysroot_of_target(target, occlum, build_root)

    targets = sysroots.targets
    files = lock_files_of(
        targets, names, lambda target: sysroot_of(target).lockfile, goal, everything
    )
    return UserGenerateLockfiles(
        GenerateSysrootLock(name, file, False, sysroot_of(targets[name]))
        for name, file in files.items()
    )


@rule(desc="Pin the files of a sysroot")
async def pin_sysroot(request: PinRequest, targets: AllTargets) -> Pinned:
    images = [target for target in targets if target.has_field(ImageBomsField)]
    # An image that names its sysroot says so, whatever is wrong with its BOMs.
    named = [image for image in images if image[SysrootField].value]
    others = [image for image in images if not image[SysrootField].value]
    boms = await concurrently(
        resolve_unparsed_address_inputs(
            image[ImageBomsField].to_unparsed_address_inputs(), **implicitly()
        )
        for image in others
    )
    asked = [SysrootOf((image.address,)) for image in named]
    asked += [SysrootOf((image.address, *found)) for image, found in zip(others, boms)]
    used = await concurrently(sysroot_target(one, **implicitly()) for one in asked)
    name, path = request.sysroot.name, request.sysroot.lockfile
    own = [
        image
        for image, one in zip([*named, *others], used)
        if one.target is not None and one.target.address.spec == name
    ]
    if not own:
        logger.warning(f"no `occlum_image` has the sysroot {name}: its lock file will be empty")
    plans = [await plan_request(image) for image in own]
    looks = await concurrently(look_for_pins(LookedAtBy(plan), **implicitly()) for plan in plans)
    lock = lock_of(looks)
    packages = await ask_packages(PackagesRequest(request.sysroot.root, tuple(sorted(lock.pins))))
    lock = with_owners(lock, packages.owners)
    diff = None
    if request.diff:
        old = await project_texts([path], LOCK_BYTES)
        diff = lock_diff(path, name, _old_lock(path, old), lock)
    return Pinned(write_lock(lock), diff)


@rule
async def generate_lock(
    request: GenerateSysrootLock, goal: GenerateLockfilesSubsystem
) -> GenerateLockfileResult:
    try:
        pinned = await pin_sysroot(PinRequest(request.sysroot, request.diff), **implicitly())
    except Exception as error:  # noqa: BLE001 - whatever is wrong: others' lock files are written
        return await lock_as_it_is(request, error, goal)
    path = request.lockfile_dest
    digest = await create_digest(CreateDigest([FileContent(path, pinned.lock_file)]))
    return GenerateLockfileResult(digest, request.resolve_name, path, pinned.diff)


def _old_lock(path: str, found: ProjectTexts) -> Lock:
    """The lock file that was there; empty where there was none, or none that can be read."""
    try:
        if found.too_large:
            raise too_large(path, LOCK_BYTES, "sysroot-lock")
        return read_lock(found.contents[path], path) if found.contents else Lock({})
    except OcclumError as error:
        logger.warning("no differences are told, as the old lock file is damaged: %s", error)
        return Lock({})


def lock_diff(path: str, name: str, old: Lock, new: Lock) -> LockfileDiff:
    """What moved: packages, and files and links that are not told by their package's version."""
    before, after = _versions(old), _versions(new)
    for file in sorted(old.pins.keys() & new.pins.keys()):
        was, now = old.pins[file], new.pins[file]
        if (was.package, was.version) == (now.package, now.version) and was.package:
            contents = _content(was.sha256, was.target), _content(now.sha256, now.target)
            if all(contents) and contents[0] != contents[1]:
                before[file], after[file] = map(ContentVersion, contents)
    return LockfileDiff.create(path, name, frozen(before), frozen(after))


def _versions(lock: Lock) -> dict[str, Version]:
    versions: dict[str, Version] = {}
    for pin in lock.pins.values():
        content = _content(pin.sha256, pin.target)
        if pin.package:
            versions[pin.package] = DebianVersion(pin.version)
        elif content:
            versions[pin.path] = ContentVersion(content)
    return versions


def _content(sha256: str, target: str) -> str:
    return f"sha256:{sha256[:12]}" if sha256 else target and f"link to {target}"


def rules() -> Iterable[Rule | UnionRule]:
    return (
        *collect_rules(),
        UnionRule(GenerateLockfile, GenerateSysrootLock),
        UnionRule(KnownUserResolveNamesRequest, KnownSysrootNames),
        UnionRule(RequestedUserResolveNames, RequestedSysrootNames),
    )
