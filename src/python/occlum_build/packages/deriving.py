"""What a lock has besides packages: the links and files that their scripts would have made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from occlum_build.errors import NOTE, OcclumError, Problem
from occlum_build.packages.alternatives import Link
from occlum_build.packages.config import PackagesRequest
from occlum_build.packages.derived import derived_links
from occlum_build.packages.index import DebIndex
from occlum_build.packages.lock import LockedLink, LockedMade, LockedPackage
from occlum_build.packages.locking import Derived, FetchedDeb
from occlum_build.packages.made import SOURCE_BYTES, make_files, sources_of_made
from occlum_build.packages.merge import PackagesRoot, merge

SCRIPT = "packages-script"


class IndexedDeb(NamedTuple):
    """A .deb and what it holds; `name` is what errors call it, "" for its path."""

    file: Path
    holds: DebIndex
    name: str = ""


class Deriving(NamedTuple):
    """What a request's packages are before anything is made of them.

    sources: package -> the paths of its files whose contents are needed.
    """

    request: PackagesRequest
    indexes: tuple[DebIndex, ...]
    packaged: PackagesRoot
    sources: Mapping[str, tuple[str, ...]]


def begin(request: PackagesRequest, indexes: Iterable[DebIndex]) -> Deriving:
    """Merge the packages of a request. Raises OcclumError `packages-file`."""
    found = tuple(indexes)
    packaged = merge(found)
    sources = _by_owner(packaged, sources_of_made(packaged, request.made))
    return Deriving(request, found, packaged, sources)


def _by_owner(root: PackagesRoot, paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(root.owners[path], []).append(path)
    return {name: tuple(of_package) for name, of_package in sorted(found.items())}


def finish(begun: Deriving, contents: Mapping[str, bytes]) -> Derived:
    """Links and made files; `contents` are those of the sources, by path. Raises OcclumError."""
    request, indexes, packaged, _ = begun
    links = derived_links(
        indexes, packaged.lock.pins, merged_usr=request.merged_usr, made=request.made
    )
    made = [one.file for one in make_files(packaged, contents, request.made)]
    links = [one for one in links if one.path not in dict(request.links)]
    given = [Link(path, target, "links") for path, target in request.links if target]
    root = merge(indexes, [*links, *given], made)
    told = [*root.told, *(one for index in indexes for one in scripts_told(index))]
    return Derived(
        tuple(LockedLink(one.path, one.target, one.by) for one in links),
        tuple(
            LockedMade(one.path, f"{one.mode:04o}", one.sha256, one.size, one.by) for one in made
        ),
        tuple(told),
    )


def derive(request: PackagesRequest, debs: Sequence[FetchedDeb]) -> Derived:
    """All of it, of files that are here. Raises OcclumError."""
    indexed = [index_locked(one, merged_usr=request.merged_usr) for one in debs]
    begun = begin(request, (one.holds for one in indexed))
    paths = [path for of_package in begun.sources.values() for path in of_package]
    return finish(begun, contents_of_sources(begun.packaged, indexed, paths))


def index_locked(deb: FetchedDeb, *, merged_usr: bool) -> IndexedDeb:
    """The index of a .deb of a lock. Raises OcclumError `deb-file`, also where it is of another."""
    from occlum_build.packages.indexing import index_deb

    name = f"{deb.package.package} {deb.package.version}"
    index = index_deb(deb.file, merged_usr=merged_usr, name=name)
    check_package(deb.package, index)
    return IndexedDeb(deb.file, index, name)


def check_package(locked: LockedPackage, index: DebIndex) -> None:
    """Raise OcclumError `deb-file` where a .deb is not the package that a lock takes it for."""
    if (index.package, index.version) != (locked.package, locked.version):
        message = f"{locked.package} {locked.version} says of itself that it is {index.name}"
        hint = f"the index of {locked.archive or 'the project'} is wrong: tell whoever makes it"
        raise OcclumError("deb-file", message, hint=hint)


def contents_of_sources(
    root: PackagesRoot, debs: Iterable[IndexedDeb], paths: Iterable[str]
) -> dict[str, bytes]:
    """The contents of files that others are made of, by path. Raises OcclumError."""
    from occlum_build.packages.unpack import contents_of_deb

    by_package = {one.holds.package: one for one in debs}
    contents: dict[str, bytes] = {}
    for package, wanted in _by_owner(root, paths).items():
        file, index, name = by_package[package]
        contents.update(contents_of_deb(file, index, wanted, SOURCE_BYTES, name=name))
    return contents


def scripts_told(index: DebIndex) -> list[Problem]:
    """What an index tells, as notes."""
    return [Problem(SCRIPT, f"{index.name}: {text}", severity=NOTE) for text in index.told]
