"""What bills say of Debian packages: by their .deb files, or by a root that has them installed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from occlum_build.errors import Place, Report
from occlum_build.files.bounds import MIB, PACKAGE_DATABASE_BYTES
from occlum_build.files.reading import chunks_of
from occlum_build.packages.deb import CONTROL_BYTES
from occlum_build.packages.deriving import IndexedDeb, contents_of_sources
from occlum_build.packages.index import DebIndex
from occlum_build.packages.merge import merge
from occlum_build.packages.metadata import COPYRIGHT, STATUS
from occlum_build.sbom.debian import Control, Copyright, controls_of, copyright_of
from occlum_build.sbom.describe import Deb
from occlum_build.sbom.rows import CODE, ImageRows, is_package
from occlum_build.shown import in_utf8
from occlum_build.sources.model import DIR, FILE, Sources, SourceStat, resolve
from occlum_build.sysroot.dpkg import DATABASE, packages_of
from occlum_build.sysroot.lock import Pin

COPYRIGHT_BYTES = 4 * MIB


class Packaged(NamedTuple):
    """The rows of an image with the packages that they are of, and these packages by name."""

    image: ImageRows
    debs: Mapping[str, Deb]


class DebFile(NamedTuple):
    """A .deb file; `name` is what errors call it."""

    path: Path
    name: str


def packaged_by_files(
    image: ImageRows, files: Sequence[DebFile], *, merged_usr: bool = True
) -> Packaged:
    """By .deb files, which the root that the image is of was made of. Raises OcclumError."""
    from occlum_build.packages.indexing import read_deb

    read = [read_deb(one.path, merged_usr=merged_usr, name=one.name) for one in files]
    root = merge(one.holds for one in read)
    versions = {one.holds.package: one.holds.version for one in read}
    image = owned_rows(image, {path: (name, versions[name]) for path, name in root.owners.items()})
    names = _packages(image).keys() & versions.keys()
    _check_versions(image, [(one.name, deb.holds) for one, deb in zip(files, read)])
    places = {name: copyright_path(root.lock.pins, name) for name in names}
    indexed = [IndexedDeb(file.path, one.holds, file.name) for file, one in zip(files, read)]
    wanted = sorted({path for path in places.values() if path in root.owners})
    contents = contents_of_sources(root, indexed, wanted)
    debs = {}
    for file, one in zip(files, read):
        name = one.holds.package
        if name in names:
            text = contents.get(places[name], b"")
            control = controls_of(one.control)[0]
            debs[name] = Deb(control, copyright_of(text), _sha256(file.path))
    return Packaged(image, debs)


def packaged_by_root(image: ImageRows, sources: Sources) -> Packaged:
    """By the database of dpkg in a root, or by what an image has for scanners in its place."""
    paths = [row.source for row in image.rows if row.source.startswith("/") and not row.package]
    owners = packages_of(sources, paths).owners if paths else {}
    image = owned_rows(image, owners)
    versions = _packages(image)
    controls = {
        one.package: one
        for one in _controls(sources, versions)
        if one.version in versions.get(one.package, ())
    }
    # A copyright file is of the version that is installed, whichever that is.
    debs = {name: Deb(one, _copyright(sources, name)) for name, one in sorted(controls.items())}
    return Packaged(image, debs)


def has_database(sources: Sources) -> bool:
    """Whether a root has dpkg's database, or what an image has for scanners in its place."""
    found = (resolve(sources, path) for path in (f"{DATABASE}/status", STATUS))
    return any(path is not None and sources.lstat(path) is not None for path in found)


def copyright_path(pins: Mapping[str, Pin], package: str) -> str:
    """Where a root of packages has the copyright file of a package, "" where it has none."""
    path = resolve(cast(Sources, _Pinned(pins)), COPYRIGHT.format(package))
    return path if path is not None and pins[path].type == FILE else ""


def owned_rows(image: ImageRows, owners: Mapping[str, tuple[str, str]]) -> ImageRows:
    """With the packages, by source path, of those rows whose package the manifest does not say."""
    rows = []
    for row in image.rows:
        package, version = owners.get(row.source, ("", ""))
        package = package.partition(":")[0]  # dpkg adds the architecture to some
        if not row.package and is_package(package):
            row = row._replace(package=package, version=in_utf8(version))
        rows.append(row)
    return image._replace(rows=tuple(rows))


def _packages(image: ImageRows) -> dict[str, set[str]]:
    """The packages of an image by name, with their versions."""
    found: dict[str, set[str]] = {}
    for row in image.rows:
        if row.package:
            found.setdefault(row.package, set()).add(row.version)
    return found


def _check_versions(image: ImageRows, given: Iterable[tuple[str, DebIndex]]) -> None:
    """Raise OcclumError `sbom` for each file (name, what it holds) of another version."""
    report, versions = Report(), _packages(image)
    for name, deb in given:
        for version in sorted(versions.get(deb.package, set()) - {deb.version}):
            has = f"{deb.package} {version or 'without a version'}"
            message = f"it is {deb.package} {deb.version}, and the image has {has}"
            hint = "name the packages that the root of the image was made of"
            report.error(CODE, message, Place(name), hint)
    report.raise_errors()


def _controls(sources: Sources, names: Iterable[str]) -> Iterator[Control]:
    status = _text(sources, f"{DATABASE}/status", PACKAGE_DATABASE_BYTES)
    yield from controls_of(status)
    directory = resolve(sources, STATUS)
    found = sources.lstat(directory) if directory is not None else None
    if found is not None and found.kind == DIR:
        for name in sorted(names):
            yield from controls_of(_text(sources, f"{STATUS}/{name}", CONTROL_BYTES))


def _copyright(sources: Sources, package: str) -> Copyright:
    return copyright_of(_text(sources, COPYRIGHT.format(package), COPYRIGHT_BYTES))


def _text(sources: Sources, path: str, limit: int) -> bytes:
    real = resolve(sources, path)
    found = sources.lstat(real) if real is not None else None
    if real is None or found is None or found.kind != FILE:
        return b""
    return sources.read(real, limit) or b""


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for chunk in chunks_of(path):
        digest.update(chunk)
    return digest.hexdigest()


class _Pinned:
    """What `resolve` asks sources for, by the pins of a root."""

    def __init__(self, pins: Mapping[str, Pin]) -> None:
        self._pins = pins

    def expect(self, path: str, *, tree: bool = False) -> None:
        """Nothing to prepare."""

    def lstat(self, path: str) -> SourceStat | None:
        pin = self._pins.get(path)
        return pin.stat() if pin is not None else None
