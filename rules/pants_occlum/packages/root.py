"""The root of a lock file of packages: what stands where, of which package, by their indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.fs import FileDigest
from pants.engine.rules import Rule
from pants.util.logging import LogLevel

from occlum_build.packages.index import DebIndex
from occlum_build.packages.lock import LockedPackage, LockedSuite
from occlum_build.packages.made import sources_of_locked
from occlum_build.packages.merge import MadeFile, PackagesRoot, merge
from occlum_build.packages.metadata import status_paths
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.packages.debs import FetchRequest, IndexedDeb, indexes_of, share_present
from pants_occlum.packages.locks import LockOf, packages_lock
from pants_occlum.packages.requests import PackagesOf, asked_packages
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.subsystem import OcclumSubsystem


@dataclass(frozen=True)
class RootOf:
    """An `occlum_packages` target."""

    address: Address


@dataclass(frozen=True)
class MergedRoot:
    """A root; its packages as they are locked and what they hold, by name.

    made: what the root has besides, by path. metadata: what images may have besides, and the root
    has not, by the paths there; it is in the store.
    """

    root: PackagesRoot
    packages: Mapping[str, LockedPackage]
    indexes: Mapping[str, DebIndex]
    made: Mapping[str, MadeFile]
    metadata: Mapping[str, FileDigest]
    suites: tuple[LockedSuite, ...]

    def packaged(self) -> PackagesRoot:
        """What the packages alone have."""
        return merge(self.indexes.values())

    def sources_of_made(self) -> list[str]:
        """The paths of the files that files are made of."""
        return sources_of_locked(self.packaged(), self.made.values()) if self.made else []


@rule(desc="Merge packages", level=LogLevel.DEBUG)
async def merged_root(request: RootOf, occlum: OcclumSubsystem) -> MergedRoot:
    asked = await asked_packages(PackagesOf(request.address), **implicitly())
    lock = await packages_lock(LockOf(request.address), **implicitly())
    indexed = await indexes_of(request.address, lock, merged_usr=asked.request.merged_usr)
    if occlum.share_packages:
        await share_present(
            FetchRequest(request.address, lock.packages, lock.suites), **implicitly()
        )
    indexes = [one.index for one in indexed]
    made = lock.made_files()
    with quiet_gc():
        root = merge(indexes, lock.added_links(), made)
    return MergedRoot(
        root,
        {one.package: one for one in lock.packages},
        {one.package: one for one in indexes},
        {one.path: one for one in made},
        {path: one for path, one in _metadata(indexed) if path not in root.lock.pins},
        lock.suites,
    )


def _metadata(indexed: Iterable[IndexedDeb]) -> Iterator[tuple[str, FileDigest]]:
    for one in indexed:
        yield from zip(status_paths(one.index.package), (one.control, one.md5sums))


def rules() -> Iterable[Rule]:
    return collect_rules()
