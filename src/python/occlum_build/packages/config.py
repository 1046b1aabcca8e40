"""What a root of packages is made of: archives, and what is asked of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from occlum_build.image.manifest import canonical_json

BASE_LINKS, CA_CERTIFICATES, JAVA_CACERTS = "base-links", "ca-certificates", "java-cacerts"
NSSWITCH, PASSWD = "nsswitch", "passwd"
# What is made in place of maintainer scripts (packages.made, and links in packages.derived).
MADE = (BASE_LINKS, CA_CERTIFICATES, JAVA_CACERTS, NSSWITCH, PASSWD)
ARCHITECTURE = "amd64"
Pairs = tuple[tuple[str, str], ...]  # of a mapping, so that what has it can be hashed


@dataclass(frozen=True)
class ArchiveConfig:
    """An archive of Debian's kind.

    mirrors: bases or templates, tried in order (packages.mirrors). A suite that ends in "/" is a
    flat repository. keyring: OpenPGP certificates, armoured or not; only these count. only:
    patterns of names; "" of them takes all. allow_expired: past Valid-Until, and older than a lock.
    """

    name: str
    mirrors: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...] = ()
    keyring: bytes = field(default=b"", repr=False)
    keyring_name: str = "keyring"
    only: tuple[str, ...] = ()
    allow_expired: bool = False


@dataclass(frozen=True)
class LocalDeb:
    """A .deb file of the project, which outranks archives. stanza: the fields of its control."""

    path: str
    sha256: str
    size: int
    stanza: Pairs


@dataclass(frozen=True)
class PackagesRequest:
    """What is asked for; `name` is that of the request in errors, as its user writes it.

    packages: `name`, `name (>= 1)`, `name=version`, `name/suite`. without: names of packages that
    are there. links: path -> target, "" for none.
    """

    name: str
    archives: tuple[ArchiveConfig, ...]
    packages: tuple[str, ...]
    debs: tuple[LocalDeb, ...] = ()
    without: tuple[str, ...] = ()
    essential: bool = False
    recommends: bool = False
    links: Pairs = ()
    made: tuple[str, ...] = MADE
    merged_usr: bool = True
    architecture: str = ARCHITECTURE

    def digests(self) -> dict[str, str]:
        """The SHA-256 of each field that a lock depends on and that is not as by default.

        So a field that comes with a newer version makes no lock stale. Mirrors are not among them.
        """
        default = dict(PackagesRequest("", (), ())._compared())
        return {
            name: hashlib.sha256(canonical_json(value)).hexdigest()
            for name, value in self._compared()
            if value != default[name]
        }

    def _compared(self) -> Iterator[tuple[str, Any]]:
        yield "architecture", self.architecture
        yield "archives", [_identity(one) for one in self.archives]
        yield "debs", sorted([one.path, one.sha256] for one in self.debs)
        yield "essential", self.essential
        yield "links", dict(self.links)
        yield "made", sorted(set(self.made))
        yield "merged_usr", self.merged_usr
        yield "packages", sorted(set(self.packages))
        yield "recommends", self.recommends
        yield "without", sorted(set(self.without))


def _identity(archive: ArchiveConfig) -> dict[str, Any]:
    """Of the keyring its bytes: a build must not need OpenPGP to see that they are others."""
    return {
        "components": sorted(set(archive.components)),
        "keyring": hashlib.sha256(archive.keyring).hexdigest(),
        "name": archive.name,
        "only": sorted(set(archive.only)),
        "suites": sorted(set(archive.suites)),
    }
