"""What has changed between a lock file and what it was made of, or another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from occlum_build.errors import OcclumError, Place
from occlum_build.packages.config import PackagesRequest
from occlum_build.packages.lock import CODE, LockedLink, LockedMade, LockedPackage, PackagesLock
from occlum_build.shown import listed
from occlum_build.sysroot.debian_version import DebianVersion


def check_request(lock: PackagesLock, request: PackagesRequest, file: str, *, command: str) -> None:
    """Raise OcclumError `packages-lock` where a lock is of another request; says which fields.

    command: what writes the lock anew, for the hint.
    """
    wanted = request.digests()
    changed = sorted(
        field for field in {*wanted, *lock.request} if wanted.get(field) != lock.request.get(field)
    )
    if not changed:
        return
    names = listed([repr(field) for field in changed])
    have = "has" if len(changed) == 1 else "have"
    message = f"the lock file is stale: {names} of {request.name} {have} changed since"
    raise OcclumError(CODE, message, place=Place(file), hint=f"write it anew: {command}")


def no_lock(file: str, *, command: str) -> OcclumError:
    """The error of a lock file that is not there."""
    return OcclumError(CODE, f"there is no lock file {file}", hint=f"write it: {command}")


class LockChanges(NamedTuple):
    """What two locks differ in. upgraded, downgraded: name -> version before and after.

    added, removed: packages by version, links and made files by what they are. other: what both
    have and is not the same, though of no other version.
    """

    added: Mapping[str, str]
    removed: Mapping[str, str]
    upgraded: Mapping[str, tuple[str, str]]
    downgraded: Mapping[str, tuple[str, str]]
    other: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people, one a line; none where nothing differs."""
        told = [f"+ {name} {version}" for name, version in self.added.items()]
        told += [f"- {name} {version}" for name, version in self.removed.items()]
        for word, pairs in (("upgraded", self.upgraded), ("downgraded", self.downgraded)):
            told += [f"{word} {name} {old} -> {new}" for name, (old, new) in pairs.items()]
        return told + [f"changed {one}" for one in self.other]


def changes_of(old: PackagesLock, new: PackagesLock) -> LockChanges:
    """What `new` has that `old` had not, and so on, each sorted by name."""
    before = {one.package: one for one in old.packages}
    after = {one.package: one for one in new.packages}
    both = sorted(before.keys() & after.keys())
    versions = {name: (before[name].version, after[name].version) for name in both}
    up = {
        name: pair
        for name, pair in versions.items()
        if DebianVersion(pair[0]) < DebianVersion(pair[1])
    }
    down = {
        name: pair
        for name, pair in versions.items()
        if DebianVersion(pair[1]) < DebianVersion(pair[0])
    }
    same = [name for name in both if name not in up and name not in down]
    other = [name for name in same if before[name].sha256 != after[name].sha256]
    made_before, made_after = _by_path(old), _by_path(new)
    paths = sorted(made_before.keys() & made_after.keys())
    other += [path for path in paths if made_before[path] != made_after[path]]
    return LockChanges(
        {**_versions(after, before), **_contents(made_after, made_before)},
        {**_versions(before, after), **_contents(made_before, made_after)},
        up,
        down,
        tuple(other),
    )


def _versions(
    packages: Mapping[str, LockedPackage], others: Mapping[str, LockedPackage]
) -> dict[str, str]:
    return {name: packages[name].version for name in sorted(packages.keys() - others.keys())}


def _contents(
    made: Mapping[str, LockedLink | LockedMade], others: Mapping[str, LockedLink | LockedMade]
) -> dict[str, str]:
    found = ((path, made[path]) for path in sorted(made.keys() - others.keys()))
    return {
        path: f"-> {one.target}" if isinstance(one, LockedLink) else f"sha256:{one.sha256[:12]}"
        for path, one in found
    }


def _by_path(lock: PackagesLock) -> dict[str, LockedLink | LockedMade]:
    found: dict[str, LockedLink | LockedMade] = {one.path: one for one in lock.links}
    found.update({one.path: one for one in lock.made})
    return found
