"""All packages that archives have, by name: read where they are asked for, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.wildcards import wildcard
from occlum_build.packages.config import LocalDeb
from occlum_build.packages.package import Package
from occlum_build.packages.package_index import PackageIndex
from occlum_build.packages.stanzas import one_line
from occlum_build.sysroot.debian_version import DebianVersion

_NEAR_LETTERS = 2
_MOST_COMPARED = 20_000


class Suite(NamedTuple):
    """The indexes of a suite. automatic: whether it counts for whoever did not ask for it."""

    archive: str
    name: str
    indexes: tuple[PackageIndex, ...]
    only: tuple[str, ...] = ()
    automatic: bool = True

    def supplies(self, name: str) -> bool:
        return not self.only or any(wildcard(pattern).match(name) for pattern in self.only)


class Universe:
    """What can be chosen.

    Raises OcclumError `archive-index` for a stanza that lacks a field, and `packages-deb` for a
    file of the project that does.
    """

    def __init__(
        self, suites: Sequence[Suite], debs: Sequence[LocalDeb] = (), architecture: str = "amd64"
    ) -> None:
        self.suites = tuple(suites)
        self.architecture = architecture
        self._debs: dict[str, list[Package]] = {}
        for deb in debs:
            package = _of_project(deb, architecture)
            self._debs.setdefault(package.name, []).append(package)
        self._automatic = {(one.archive, one.name) for one in suites if one.automatic}
        # What was asked for before.
        self._all: dict[str, tuple[Package, ...]] = {}
        self._versions: dict[str, tuple[Package, ...]] = {}
        self._providers: dict[str, tuple[Package, ...]] = {}

    def all(self, name: str) -> tuple[Package, ...]:
        """Every version there is, files of the project first, then newest first."""
        if name not in self._all:
            found = [
                package
                for suite in self.suites
                if suite.supplies(name)
                for index in suite.indexes
                for package in index.packages(name, suite.archive, suite.name, self.architecture)
            ]
            found.sort(key=lambda one: DebianVersion(one.version), reverse=True)  # stable
            debs = sorted(
                self._debs.get(name, ()), key=lambda one: DebianVersion(one.version), reverse=True
            )
            self._all[name] = (*debs, *found)
        return self._all[name]

    def versions(self, name: str) -> tuple[Package, ...]:
        """Those that count without being asked for by suite: the first is the one to take."""
        if name not in self._versions:
            self._versions[name] = tuple(
                one
                for one in self.all(name)
                if not one.archive
                or (name not in self._debs and (one.archive, one.suite) in self._automatic)
            )
        return self._versions[name]

    def newest(self, name: str) -> Package | None:
        """The version to take."""
        return next(iter(self.versions(name)), None)

    def providers(self, name: str) -> tuple[Package, ...]:
        """Packages whose version to take provides a name, by their names."""
        if name not in self._providers:
            names = {
                provider
                for suite in self.suites
                for index in suite.indexes
                for provider in index.providers(name)
            }
            names.update(self._debs)
            newest = (self.newest(one) for one in sorted(names))
            self._providers[name] = tuple(
                one
                for one in newest
                if one is not None and any(provided == name for provided, _ in one.provided)
            )
        return self._providers[name]

    def is_automatic(self, package: Package) -> bool:
        """Whether it counts without being asked for by suite."""
        return not package.archive or (package.archive, package.suite) in self._automatic

    def essential(self) -> tuple[str, ...]:
        """The names of essential packages."""
        names = {
            name for suite in self.suites for index in suite.indexes for name in index.essential()
        }
        names.update(self._debs)
        return tuple(one for one in sorted(names) if _is_essential(self.newest(one)))

    def near(self, name: str) -> list[str]:
        """Names there are that somebody may have meant, the nearest first."""
        from difflib import get_close_matches

        there = {
            one
            for suite in self.suites
            for index in suite.indexes
            for one in index
            if one[0] == name[0] and abs(len(one) - len(name)) <= _NEAR_LETTERS
        }
        return get_close_matches(name, sorted({*there, *self._debs})[:_MOST_COMPARED], 3, 0.8)

    def withheld(self, name: str) -> tuple[str, ...]:
        """Archives that have a package and may not supply it."""
        return tuple(
            dict.fromkeys(
                suite.archive
                for suite in self.suites
                if not suite.supplies(name)
                and any(
                    True
                    for index in suite.indexes
                    for _ in index.packages(name, suite.archive, suite.name, self.architecture)
                )
            )
        )


def _is_essential(package: Package | None) -> bool:
    return package is not None and package.stanza.get("Essential", "").lower() == "yes"


def _of_project(deb: LocalDeb, architecture: str) -> Package:
    """Raises OcclumError `packages-deb` for what cannot be in a root for an architecture."""
    stanza = {key: one_line(value) for key, value in deb.stanza}
    for field in ("Package", "Version", "Architecture"):
        if not stanza.get(field):
            message = f"{deb.path} has no {field} in its control file"
            raise OcclumError("packages-deb", message)
    if stanza["Architecture"] not in (architecture, "all"):
        message = f"{deb.path} is for {stanza['Architecture']}, and the root for {architecture}"
        raise OcclumError("packages-deb", message)
    return Package(
        stanza["Package"],
        stanza["Version"],
        stanza["Architecture"],
        "",
        "",
        deb.path,
        deb.sha256,
        deb.size,
        stanza,
        architecture,
    )
