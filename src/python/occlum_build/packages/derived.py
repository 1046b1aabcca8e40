"""Links of a root that no package has, but an installed system: alternatives, /bin, /var/run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from occlum_build.packages.alternatives import Link, chosen_links
from occlum_build.packages.config import BASE_LINKS, CA_CERTIFICATES, MADE
from occlum_build.packages.index import DebIndex
from occlum_build.packages.made import BUNDLE
from occlum_build.packages.paths import MERGED
from occlum_build.sources.model import DIR
from occlum_build.sysroot.lock import Pin

# What scripts of these packages make (base-files.postinst; tzdata's default time zone).
_BASE_LINKS = (
    ("base-files", "/var/lock", "/run/lock"),
    ("base-files", "/var/run", "/run"),
    ("tzdata", "/etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
)
_OPENSSL = "/usr/lib/ssl/cert.pem"
_ORIGINS = "/etc/dpkg/origins"  # whose `default` is the distribution's


def derived_links(
    indexes: Iterable[DebIndex],
    pins: Mapping[str, Pin],
    *,
    merged_usr: bool = True,
    made: Collection[str] = MADE,
) -> list[Link]:
    """The links for a root of these packages, sorted by path; `pins` are those of their merge."""
    indexes = sorted(indexes, key=lambda one: one.package)
    alternatives = [(index.package, one) for index in indexes for one in index.alternatives]
    links = chosen_links(alternatives, pins.keys(), merged_usr)
    if merged_usr:
        links += (
            Link(f"/{name}", f"usr/{name}", "usrmerge") for name in MERGED if f"/usr/{name}" in pins
        )
    packages = {index.package for index in indexes}
    if BASE_LINKS in made:
        links += _base_links(packages, pins)
    if CA_CERTIFICATES in made and "ca-certificates" in packages:
        links += _certificate_links(packages, pins)
    return sorted(links)


def _base_links(packages: set[str], pins: Mapping[str, Pin]) -> list[Link]:
    links = [
        Link(path, target, package)
        for package, path, target in _BASE_LINKS
        if package in packages and _is_free(path, pins)
    ]
    for vendor in ("ubuntu", "debian"):
        path = f"{_ORIGINS}/default"
        if f"{_ORIGINS}/{vendor}" in pins and path not in pins:
            return [*links, Link(path, vendor, "base-files")]
    return links


def _certificate_links(packages: set[str], pins: Mapping[str, Pin]) -> list[Link]:
    """OpenSSL looks for its own bundle, and for hashed names that only its tool makes."""
    has_openssl = any(name == "openssl" or name.startswith("libssl") for name in packages)
    if not has_openssl or _OPENSSL in pins:
        return []
    return [Link(_OPENSSL, BUNDLE, "ca-certificates")]


def _is_free(path: str, pins: Mapping[str, Pin]) -> bool:
    """Whether nothing is there but maybe an empty directory, which the script replaces."""
    pin = pins.get(path)
    if pin is None:
        return True
    return pin.type == DIR and not any(other.startswith(f"{path}/") for other in pins)
