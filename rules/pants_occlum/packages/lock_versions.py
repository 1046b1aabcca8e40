"""What the diff of a lock file compares: versions of packages, contents of files, ends of links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pants.core.goals.generate_lockfiles import LockfileDiff, LockfilePackages

from occlum_build.packages.lock import PackagesLock
from occlum_build.sysroot.debian_version import DebianVersion


@dataclass(frozen=True)
class ContentVersion:
    """Stands for a version where no package has one: a content, or where a link leads."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __lt__(self, other: ContentVersion) -> bool:
        return self != other

    def __gt__(self, other: ContentVersion) -> bool:
        return False


def lock_diff(path: str, name: str, old: PackagesLock, new: PackagesLock) -> LockfileDiff:
    """What moved: packages, derived links and made files."""
    return LockfileDiff.create(path, name, frozen(_versions(old)), frozen(_versions(new)))


def _versions(lock: PackagesLock) -> dict[str, Any]:
    versions: dict[str, Any] = {one.package: DebianVersion(one.version) for one in lock.packages}
    versions.update((one.path, ContentVersion(f"link to {one.target}")) for one in lock.links)
    versions.update((one.path, ContentVersion(f"sha256:{one.sha256[:12]}")) for one in lock.made)
    return versions


def frozen(versions: Mapping[str, Any]) -> LockfilePackages:
    """Versions by name as a diff takes them."""
    return LockfilePackages(sorted(versions.items()))
