"""The metadata of packages that an image has on request."""

from __future__ import annotations

from pants.engine.addresses import Address

from occlum_build.errors import Place, Report
from occlum_build.image.plan import ImagePlan
from occlum_build.packages.metadata import status_paths, with_metadata
from occlum_build.sources.model import FILE, SourceStat
from pants_occlum.bom.knowledge import Knowledge, settle
from pants_occlum.compat.by_name import implicitly
from pants_occlum.invalid import invalid_target
from pants_occlum.packages.root import RootOf, merged_root
from pants_occlum.sysroot.sysroots import Sysroot


def packages_of_image(address: Address, sysroot: Sysroot) -> Address:
    """The `occlum_packages` of an image that wants metadata. Raises InvalidTargetException."""
    if sysroot.packages is None:
        raise invalid_target(
            f"The 'package_metadata' field in target {address} is True, and no packages are known "
            f"of its sysroot, {sysroot.name or sysroot.root}: let its 'sysroot' field name an "
            "`occlum_packages`, or leave the field out."
        )
    return sysroot.packages


async def add_metadata(
    plan: ImagePlan, known: Knowledge, address: Address
) -> tuple[ImagePlan, Report]:
    """The plan of an image of a root of packages with their metadata."""
    packages = packages_of_image(address, known.sysroot)
    merged = await merged_root(RootOf(packages), **implicitly())
    for index in merged.indexes.values():
        for path in filter(merged.metadata.__contains__, status_paths(index.package)):
            digest = merged.metadata[path]
            sha256, size = digest.fingerprint, digest.serialized_bytes_length
            known.stats[path] = SourceStat(FILE, 0o644, size, sha256=sha256, is_elf_or_zip=False)
            known.packages[path] = (index.package, index.version)
    return await settle(
        known,
        str(address),
        lambda sources, report: with_metadata(
            plan, sources, merged.root.lock.pins, Place(str(address)), report
        ),
    )
