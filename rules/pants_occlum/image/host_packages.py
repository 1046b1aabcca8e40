"""Which packages of the host an image has, and what these say of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pants.engine.rules import Rule
from pants.util.logging import LogLevel

from occlum_build.sbom.describe import Deb
from occlum_build.sbom.packages import owned_rows, packaged_by_root
from occlum_build.sbom.rows import ImageRows
from occlum_build.sources.os import OsSources
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules
from pants_occlum.subsystem import LockMode
from pants_occlum.sysroot.pins import lock_of_sysroot
from pants_occlum.sysroot.sysroots import Sysroot


@dataclass(frozen=True)
class HostPackagesRequest:
    """The image, of a root that is a directory of this machine."""

    root: str
    image: ImageRows


@dataclass(frozen=True)
class HostPackages:
    """The rows with their packages, and these by name."""

    image: ImageRows
    debs: Mapping[str, Deb]


# dpkg's database changes without Pants being told.
@_uncacheable_rule(desc="Ask dpkg for packages of an image", level=LogLevel.DEBUG)
async def ask_host_packages(request: HostPackagesRequest) -> HostPackages:
    return HostPackages(*packaged_by_root(request.image, OsSources(request.root)))


async def host_packages(sysroot: Sysroot, image: ImageRows) -> HostPackages:
    """By the lock file where that is all that counts, else by dpkg."""
    if sysroot.lock is LockMode.require:
        pins = (await lock_of_sysroot(sysroot)).pins.values()
        owners = {pin.path: (pin.package, pin.version) for pin in pins if pin.package}
        return HostPackages(owned_rows(image, owners), {})
    found: HostPackages = await ask_host_packages(HostPackagesRequest(sysroot.root, image))
    return found


def rules() -> Iterable[Rule]:
    return collect_rules()
