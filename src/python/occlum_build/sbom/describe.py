"""The bill of an image: its files as components, by their packages and by metadata among them."""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from occlum_build.files.bounds import MIB
from occlum_build.files.reading import read_file
from occlum_build.sbom.debian import Control, Copyright
from occlum_build.sbom.jars import SUFFIXES, Artefact, jar_at, own_of
from occlum_build.sbom.model import (
    DEB,
    FILE,
    MAVEN,
    PYTHON,
    Bill,
    Component,
    ComponentFile,
    file_ref,
)
from occlum_build.sbom.python_metadata import METADATA, distribution_of, recorded_files
from occlum_build.sbom.rows import ImageRows, Row, entry_at

OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
METADATA_BYTES = 16 * MIB  # of METADATA, RECORD, os-release
_DEBIAN = "debian"


class Deb(NamedTuple):
    """What is known of a package besides its name and version; sha256: of the .deb."""

    control: Control | None = None
    copyright: Copyright = Copyright()
    sha256: str = ""


@dataclass(frozen=True)
class Known:
    """What a bill is made of besides the rows: packages by name, edges of the closure.

    content: the file that has the content of a row, None where it is not to be had.
    """

    content: Callable[[Row], str | None]
    debs: Mapping[str, Deb] = field(default_factory=dict)
    edges: tuple[tuple[str, str], ...] = ()


def is_read(path: str) -> bool:
    """Whether a bill is made of the content of the file at this path of an image."""
    record = path.endswith(".dist-info/RECORD")
    return record or path in OS_RELEASE or path.endswith(SUFFIXES) or bool(METADATA.fullmatch(path))


def describe(name: str, image: ImageRows, known: Known) -> Bill:
    """The bill of an image. Raises OcclumError where a content cannot be read."""
    making = _Making(image.rows, known)
    making.add_debs()
    making.add_distributions()
    making.add_jars()
    making.add_files()
    components = tuple(sorted(making.components.values(), key=lambda one: one.ref))
    return Bill(name, image.digest, components, making.needs())


class _Making:
    """Components by their refs, and which one has each path."""

    def __init__(self, rows: Iterable[Row], known: Known) -> None:
        self.rows = {row.path: row for row in rows}
        self.known = known
        self.components: dict[str, Component] = {}
        self.owner: dict[str, str] = {}

    def add_debs(self) -> None:
        for component, rows in _packages(self.rows, self.known):
            self._add(component, rows)

    def add_distributions(self) -> None:
        ordered = sorted(self.rows)
        for path in filter(METADATA.fullmatch, ordered):
            found = distribution_of(self._content(path) or b"")
            if found is None:
                continue
            info = posixpath.dirname(path)
            site = posixpath.dirname(info)
            paths = {path}
            if not path.endswith(".egg-info"):
                paths.update(_below(info, ordered))
            record = self._content(f"{info}/RECORD")
            if record is not None and path.endswith("/METADATA"):
                paths |= recorded_files(record, site) & self.rows.keys()
            component = Component(
                f"{PYTHON}/{found.name}@{found.version}",
                PYTHON,
                found.name,
                found.version,
                licenses=(found.license,) if found.license else (),
                homepage=found.homepage,
                inside=self.owner.get(path, ""),
            )
            self._add(component, [self.rows[one] for one in sorted(paths)], at=path)

    def add_jars(self) -> None:
        for path, row in sorted(self.rows.items()):
            content = self.known.content(row) if row.sha256 and path.endswith(SUFFIXES) else None
            if content is None:
                continue
            jar = own_of(jar_at(content), path)
            inside = self.owner.get(path, "")
            if jar.own is not None:
                inside = self._add(_artefact(jar.own, inside), [row], at=path)
            elif jar.inner and not inside:
                inside = self._add(_file(row), [row])
            for one in jar.inner:
                self._add(_artefact(one, inside), [], at=path)

    def add_files(self) -> None:
        for path, row in sorted(self.rows.items()):
            if row.sha256 and path not in self.owner:
                self._add(_file(row), [row])

    def needs(self) -> tuple[tuple[str, str], ...]:
        """The edges of the closure between components."""
        found = set()
        for pair in self.known.edges:
            needer, needed = (self.owner.get(entry_at(one, self.owner), "") for one in pair)
            if needer and needed and needer != needed:
                found.add((needer, needed))
        return tuple(sorted(found))

    def _add(self, component: Component, rows: Iterable[Row], at: str = "") -> str:
        """Add a component with those of the rows that no other has; its ref."""
        ref = component.ref
        if ref in self.components:  # the same version is there twice
            ref = f"{ref}#{at}"
        own = [row for row in rows if row.path not in self.owner]
        self.owner.update((row.path, ref) for row in own)
        files = tuple(
            sorted(ComponentFile(row.path, row.sha256, row.size) for row in own if row.sha256)
        )
        self.components[ref] = replace(component, ref=ref, files=tuple(files))
        return ref

    def _content(self, path: str) -> bytes | None:
        return _content(path, self.rows, self.known)


def packages_of(image: ImageRows, known: Known) -> list[Component]:
    """The Debian packages of an image, as its bill has them but for their files."""
    return [one for one, _ in _packages({row.path: row for row in image.rows}, known)]


def _packages(rows: Mapping[str, Row], known: Known) -> Iterator[tuple[Component, Sequence[Row]]]:
    packages: dict[tuple[str, str], list[Row]] = {}
    for row in rows.values():
        if row.package:
            packages.setdefault((row.package, row.version), []).append(row)
    distro = _distro(rows, known)
    for (name, version), own in sorted(packages.items()):
        yield deb_component(name, version, deb_of_version(known.debs, name, version), distro), own


def _distro(rows: Mapping[str, Row], known: Known) -> tuple[str, str]:
    """ID and VERSION_ID of the image's os-release(5); "" for what it does not say."""
    for path in OS_RELEASE:
        text = (_content(path, rows, known) or b"").decode("utf-8", "replace")
        lines = (line.partition("=") for line in text.splitlines())
        found = {key: value.strip().strip("\"'") for key, _, value in lines}
        if found.get("ID", "").isalnum():
            return found["ID"], found.get("VERSION_ID", "")
    return "", ""


def _content(path: str, rows: Mapping[str, Row], known: Known) -> bytes | None:
    row = rows.get(path)
    file = known.content(row) if row is not None and row.sha256 else None
    return read_file(file, METADATA_BYTES, name=path) if file is not None else None


def _below(directory: str, ordered: Sequence[str]) -> Sequence[str]:
    """Those of sorted paths that are below a directory."""
    first = bisect_left(ordered, f"{directory}/")
    return ordered[first : bisect_left(ordered, f"{directory}0", first)]  # "0" follows "/"


def deb_of_version(debs: Mapping[str, Deb], name: str, version: str) -> Deb:
    """What is known of a package; of another version of it that is nothing."""
    deb = debs.get(name, Deb())
    return deb if deb.control is None or deb.control.version == version else Deb()


def deb_component(
    name: str, version: str, deb: Deb, distro: tuple[str, str] = ("", "")
) -> Component:
    """A package, of a distribution by the ID and VERSION_ID of its os-release(5)."""
    control = deb.control or Control(name, version)
    vendor, release = distro
    if not vendor:
        vendor = "ubuntu" if "ubuntu" in version else _DEBIAN
    return Component(
        f"{DEB}/{name}@{version}",
        DEB,
        name,
        version,
        group=vendor,
        architecture=control.architecture,
        distro=f"{vendor}-{release}" if release else "",
        sha256=deb.sha256,
        licenses=deb.copyright.licenses,
        texts=deb.copyright.texts,
        supplier=control.maintainer,
        homepage=control.homepage,
        source=control.source,
        source_version=control.source_version if control.source else "",
    )


def _artefact(artefact: Artefact, inside: str) -> Component:
    name = f"{artefact.group}/{artefact.name}" if artefact.group else artefact.name
    version = f"@{artefact.version}" if artefact.version else ""
    return Component(
        f"{MAVEN}/{name}{version}",
        MAVEN,
        artefact.name,
        artefact.version,
        artefact.group,
        licenses=(artefact.license,) if artefact.license else (),
        inside=inside,
    )


def _file(row: Row) -> Component:
    return Component(file_ref(row.path), FILE, row.path, sha256=row.sha256)
