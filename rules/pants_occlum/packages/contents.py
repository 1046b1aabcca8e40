"""Contents of packages as files of a directory that stands for `/`, in named caches.

Each package is unpacked once and linked into the directory of each lock file that has it. Nobody
trusts what is there: whoever copies a file from it compares its SHA-256.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError
from occlum_build.files.reading import read_file
from occlum_build.packages.linked import SharedFile, link_files, put_file, remove_unused, use
from occlum_build.packages.lock import LockedPackage
from occlum_build.packages.made import CODE, SOURCE_BYTES, make_files
from occlum_build.packages.unpack import unpack_deb
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, concurrently, implicitly
from pants_occlum.packages.debs import DEBS_CACHE, FetchRequest, fetched_debs
from pants_occlum.packages.root import MergedRoot, RootOf, merged_root

UNPACKED_CACHE, ROOTS_CACHE = "occlum_packages", "occlum_roots"


@dataclass(frozen=True)
class UnpackRequest:
    """Files of a root of packages, by their real paths, that are wanted below the directory."""

    address: Address
    root: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Unpacked:
    """The files are below the directory, as far as nobody has damaged it."""


@dataclass(frozen=True)
class _UnpackDeb:
    address: Address
    package: LockedPackage
    file: str
    target: str


@_uncacheable_rule(desc="Unpack a package", level=LogLevel.DEBUG)
async def unpacked_deb(request: _UnpackDeb) -> Unpacked:
    merged = await merged_root(RootOf(request.address), **implicitly())
    index = merged.indexes[request.package.package]
    with suppress(FileExistsError):  # another run has unpacked it meanwhile
        unpack_deb(Path(request.file), index, Path(request.target), name=index.name)
    return Unpacked()


@_uncacheable_rule(desc="Unpack packages")
async def unpacked(request: UnpackRequest, named_caches_dir: NamedCachesDirOption) -> Unpacked:
    merged = await merged_root(RootOf(request.address), **implicitly())
    owners, cache = merged.root.owners, named_caches_dir.val
    made = tuple(path for path in request.paths if path in merged.made)
    sources = merged.sources_of_made() if made else []
    needed = sorted({owners[path] for path in (*request.paths, *sources) if path in owners})
    directories = {
        name: str(cache / UNPACKED_CACHE / merged.packages[name].sha256) for name in needed
    }
    missing = tuple(
        merged.packages[name] for name, directory in directories.items() if not use(directory)
    )
    if missing:
        for name in (DEBS_CACHE, UNPACKED_CACHE, ROOTS_CACHE):
            remove_unused(str(cache / name))
        fetched = await fetched_debs(
            FetchRequest(request.address, missing, merged.suites), **implicitly()
        )
        os.makedirs(str(cache / UNPACKED_CACHE), exist_ok=True)
        await concurrently(
            unpacked_deb(
                _UnpackDeb(
                    request.address, one, fetched.files[one.sha256], directories[one.package]
                ),
                **implicitly(),
            )
            for one in missing
        )
    found = [
        SharedFile(path, directories[owners[path]]) for path in request.paths if path in owners
    ]
    link_files(request.root, found)
    _write_made(merged, made, request.root, {path: directories[owners[path]] for path in sources})
    use(request.root)
    return Unpacked()


def _write_made(
    merged: MergedRoot, wanted: Iterable[str], root: str, sources: Mapping[str, str]
) -> None:
    """Make files as the lock has them; what comes out otherwise is an error that says so."""
    paths = set(wanted)
    if not paths:
        return
    contents = {
        path: read_file(f"{directory}{path}", SOURCE_BYTES, code="packages-made", name=path)
        for path, directory in sources.items()
    }
    for one in make_files(merged.packaged(), contents):
        if one.path in paths:
            if one.file != merged.made[one.path]:
                raise OcclumError(
                    CODE,
                    f"{one.path} comes out as sha256:{one.file.sha256}, and not as it is pinned",
                    hint="this version of the backend makes it in another way: write the lock anew",
                )
            put_file(f"{root}{one.path}", one.content)


def rules() -> Iterable[Rule]:
    return collect_rules()
