"""What a lock has besides packages: the links and files that their scripts would have made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from occlum_build.packages.assemble import scripts_told
from occlum_build.packages.config import PackagesRequest
from occlum_build.packages.derived import derived_links
from occlum_build.packages.index import DebIndex
from occlum_build.packages.lock import LockedLink, LockedMade
from occlum_build.packages.locking import Derived, FetchedDeb
from occlum_build.packages.made import SOURCE_BYTES, make_files, sources_of_made
from occlum_build.packages.merge import PackagesRoot, merge


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
    sources: dict[str, list[str]] = {}
    for path in sources_of_made(packaged, request.made):
        sources.setdefault(packaged.owners[path], []).append(path)
    by_package = {name: tuple(paths) for name, paths in sorted(sources.items())}
    return Deriving(request, found, packaged, by_package)


def finish(begun: Deriving, contents: Mapping[str, bytes]) -> Derived:
    """Links and made files; `contents` are those of the sources, by path. Raises OcclumError."""
    request, indexes, packaged, _ = begun
    links = derived_links(
        indexes, packaged.lock.pins, merged_usr=request.merged_usr, made=request.made
    )
    made = [one.file for one in make_files(packaged, contents, request.made)]
    links = [one for one in links if one.path not in dict(request.links)]
    root = merge(indexes, links, made)
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
    from occlum_build.packages.indexing import index_deb
    from occlum_build.packages.unpack import contents_of_deb

    indexes = {
        one.package.package: index_deb(
            one.file,
            merged_usr=request.merged_usr,
            name=f"{one.package.package} {one.package.version}",
        )
        for one in debs
    }
    files = {one.package.package: one.file for one in debs}
    begun = begin(request, indexes.values())
    contents: dict[str, bytes] = {}
    for name, paths in begun.sources.items():
        contents.update(contents_of_deb(files[name], indexes[name], paths, SOURCE_BYTES))
    return finish(begun, contents)
