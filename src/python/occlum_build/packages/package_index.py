"""One `Packages` file: found by name at once, and only those stanzas are read that are asked for.

An archive has tens of thousands of stanzas, of which a root needs some hundred.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property

from occlum_build.errors import OcclumError, Place
from occlum_build.packages.package import Package
from occlum_build.packages.stanzas import one_line, stanzas_of

FIELDS = (
    "Package", "Version", "Architecture", "Priority", "Essential", "Source", "Filename", "Size",
    "SHA256", "Provides", "Pre-Depends", "Depends", "Recommends", "Conflicts", "Breaks", "Replaces",
)  # fmt: skip
_NAME = re.compile(rb"^Package:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_PROVIDES = re.compile(rb"\nProvides:[ \t]*((?:.*)(?:\n[ \t].*)*)")
_ESSENTIAL = re.compile(rb"\nEssential:[ \t]*yes\b")
_PROVIDED = re.compile(r"(?:\A|,)\s*([^\s(,:]+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"[0-9]{1,15}")
# Below the archive, and nothing that a shell, a URL or a terminal would take for something else.
_PATH = re.compile(r"(?!/)(?:(?!\.{1,2}(?:/|\Z))[A-Za-z0-9.+~_:%@=,-]+(?:/(?!\Z)|\Z))+")


class PackageIndex:
    """The stanzas of an index; `name` is what errors call it."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name

    @cached_property
    def _names(self) -> dict[int, str]:
        """The package of each stanza, by where that begins."""
        names = {}
        for start in self._blocks:
            # It is the first line, as archives are made.
            if match := _NAME.match(self._data, start) or _NAME.search(
                self._data, start, self._end(start)
            ):
                names[start] = match[1].decode("utf-8", "surrogateescape")
        return names

    @cached_property
    def _starts(self) -> dict[str, list[int]]:
        """Where the stanzas of a package begin."""
        starts: dict[str, list[int]] = {}
        for start, name in self._names.items():
            starts.setdefault(name, []).append(start)
        return starts

    @cached_property
    def _blocks(self) -> list[int]:
        data, start, found = self._data, 0, []
        while start < len(data):
            found.append(start)
            end = data.find(b"\n\n", start)
            if end < 0:
                break
            start = end + 2
        return found

    def __iter__(self) -> Iterator[str]:
        """The names of all packages."""
        return iter(self._starts)

    def _end(self, start: int) -> int:
        end = self._data.find(b"\n\n", start)
        return len(self._data) if end < 0 else end

    @cached_property
    def _providers(self) -> dict[str, list[str]]:
        """Who provides a name, in whatever version."""
        found: dict[str, list[str]] = {}
        for match in _PROVIDES.finditer(self._data):
            provider = self._package_at(match.start())
            for name in _PROVIDED.findall(match[1].decode("utf-8", "surrogateescape")):
                found.setdefault(name, []).append(provider)
        return found

    def _package_at(self, position: int) -> str:
        """The package in whose stanza a position is; "" where it names none."""
        start = self._blocks[bisect_right(self._blocks, position) - 1]
        return self._names.get(start, "")

    def providers(self, name: str) -> list[str]:
        """The names of packages of which a version provides that name."""
        return self._providers.get(name, [])

    def essential(self) -> Iterator[str]:
        """The names of packages of which a version is essential."""
        for match in _ESSENTIAL.finditer(self._data):
            yield self._package_at(match.start())

    def packages(self, name: str, archive: str, suite: str, architecture: str) -> Iterator[Package]:
        """The versions of a package for an architecture.

        Raises OcclumError `archive-index` for a stanza that lacks what is needed to take it, or
        that would be another package than the one that it is found as.
        """
        for start in self._starts.get(name, ()):
            for stanza in stanzas_of(self._data[start : self._end(start)], FIELDS):
                if stanza["Package"] != name:
                    message = f"a stanza names two packages, {name} and {stanza['Package']}"
                    raise OcclumError("archive-index", message, place=Place(self._name))
                if stanza.get("Architecture") in (architecture, "all"):
                    yield self._package(stanza, archive, suite, architecture)

    def _package(
        self, stanza: dict[str, str], archive: str, suite: str, architecture: str
    ) -> Package:
        stanza = {key: one_line(value) for key, value in stanza.items()}
        version = stanza.get("Version", "")
        path = stanza.get("Filename", "")
        while path.startswith("./"):  # as flat repositories have it
            path = path[2:]
        wrong = [
            field
            for field, is_right in (
                ("Version", version),
                ("Filename", _PATH.fullmatch(path)),
                ("SHA256", _SHA256.fullmatch(stanza.get("SHA256", ""))),
                ("Size", _SIZE.fullmatch(stanza.get("Size", ""))),
            )
            if not is_right
        ]
        if wrong:
            message = f"the stanza of {stanza['Package']} {version} has no {wrong[0]} that is one"
            raise OcclumError("archive-index", message, place=Place(self._name))
        return Package(
            stanza["Package"],
            version,
            stanza["Architecture"],
            archive,
            suite,
            path,
            stanza["SHA256"],
            int(stanza["Size"]),
            stanza,
            architecture,
        )
