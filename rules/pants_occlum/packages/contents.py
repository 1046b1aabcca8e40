"""Contents of packages as files of a directory that stands for `/`, in named caches.

Each package is unpacked once and linked into the directory of each lock file that has it. Nobody
trusts what is there: files are read before they are linked, unless this process has done so, and
whoever copies one compares its SHA-256. A package with a file that is not right is unpacked anew.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, FileEntry
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError
from occlum_build.files.reading import chunks_of, read_file
from occlum_build.packages.index import Entry
from occlum_build.packages.linked import (
    SharedFile,
    link_files,
    put_directory,
    put_file,
    remove_unused,
    use,
)
from occlum_build.packages.made import SOURCE_BYTES, make_locked
from occlum_build.packages.merge import MadeFile
from occlum_build.packages.unpack import unpack_deb
from occlum_build.sources.model import FILE
from occlum_build.sysroot.lock import Pin
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, concurrently, implicitly
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents
from pants_occlum.packages.debs import FetchRequest, fetched_debs
from pants_occlum.packages.root import MergedRoot, RootOf, merged_root

UNPACKED_CACHE, ROOTS_CACHE = "occlum_packages", "occlum_roots"
_Identity = tuple[int, int, int, int, int]
# Another run may clear what this one is about to link.
_ATTEMPTS = 2
# Unpacked files that this process has seen to be right, by their paths.
_whole: dict[str, _Identity] = {}


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
    """attempt: in one run a second one is another request, whose result is not known yet."""

    file: str
    target: str
    attempt: int
    package: str = field(compare=False)
    address: Address = field(compare=False)


@_uncacheable_rule(desc="Unpack a package", level=LogLevel.DEBUG)
async def unpacked_deb(request: _UnpackDeb) -> Unpacked:
    merged = await merged_root(RootOf(request.address), **implicitly())
    index = merged.indexes[request.package]
    files = ((path, entry) for path, entry in index.entries.items() if entry.type == FILE)
    if not _is_unpacked(request.target, files):  # nor has somebody unpacked it meanwhile
        made = f"{request.target}.{os.urandom(8).hex()}"
        unpack_deb(Path(request.file), index, Path(made), name=index.name, readable=True)
        put_directory(made, request.target)
    return Unpacked()


async def _write_metadata(merged: MergedRoot, request: UnpackRequest) -> None:
    """Put control members of packages where they are wanted."""
    wanted = [path for path in request.paths if path in merged.metadata]
    entries = [FileEntry(path[1:], merged.metadata[path]) for path in wanted]
    if entries:
        for one in await get_digest_contents(await create_digest(CreateDigest(entries))):
            put_file(f"{request.root}/{one.path}", one.content)


async def _unpack_missing(
    merged: MergedRoot,
    address: Address,
    files: Mapping[str, Sequence[Pin]],
    named_caches_dir: NamedCachesDirOption,
    attempt: int,
) -> None:
    """Unpack those packages of which files, by the package, are not there."""
    directories, cache = _directories(merged, files, named_caches_dir), named_caches_dir.val
    missing = tuple(
        merged.packages[name]
        for name, directory in directories.items()
        if not _is_unpacked(directory, ((one.path, one) for one in files[name]))
    )
    if not missing:
        return
    for name in (UNPACKED_CACHE, ROOTS_CACHE):
        remove_unused(str(cache / name))
    fetched = await fetched_debs(FetchRequest(address, missing, merged.suites), **implicitly())
    os.makedirs(str(cache / UNPACKED_CACHE), exist_ok=True)
    await concurrently(
        unpacked_deb(
            _UnpackDeb(
                fetched.files[one.sha256],
                directories[one.package],
                attempt,
                one.package,
                address,
            ),
            **implicitly(),
        )
        for one in missing
    )


@_uncacheable_rule(desc="Unpack packages")
async def unpacked(request: UnpackRequest, named_caches_dir: NamedCachesDirOption) -> Unpacked:
    merged = await merged_root(RootOf(request.address), **implicitly())
    made = tuple(
        path
        for path in request.paths
        if path in merged.made and not _is_whole(f"{request.root}{path}", merged.made[path])
    )
    sources = merged.sources_of_made() if made else []
    files = _by_package(merged, (*request.paths, *sources))
    directories = _directories(merged, files, named_caches_dir)
    use(request.root)
    found = [
        SharedFile(path, directories[merged.root.owners[path]])
        for path in (*request.paths, *sources)
        if path in merged.root.owners
    ]
    for attempt in range(_ATTEMPTS):
        await _unpack_missing(merged, request.address, files, named_caches_dir, attempt)
        try:
            link_files(request.root, found)
            break
        except FileNotFoundError:
            if attempt + 1 == _ATTEMPTS:
                raise
    _write_made(merged, made, request.root, sources)
    await _write_metadata(merged, request)
    use(request.root)
    for path in (f"{directories[name]}{pin.path}" for name in files for pin in files[name]):
        with suppress(OSError):
            _whole[path] = _identity(os.lstat(path))  # only now, as links change the times
    return Unpacked()


def _by_package(merged: MergedRoot, paths: Iterable[str]) -> dict[str, list[Pin]]:
    """What is pinned at paths, by the package that has it; made files are of none."""
    found: dict[str, list[Pin]] = {}
    for path in sorted(set(paths)):
        if path in merged.root.owners:
            found.setdefault(merged.root.owners[path], []).append(merged.root.lock.pins[path])
    return found


def _directories(
    merged: MergedRoot, names: Iterable[str], named_caches_dir: NamedCachesDirOption
) -> dict[str, str]:
    """Where each package is unpacked: its paths are others where `/bin` is no link."""
    cache = named_caches_dir.val / UNPACKED_CACHE
    return {
        name: str(cache / merged.packages[name].sha256)
        + ("" if merged.indexes[name].merged_usr else "-plain")
        for name in sorted(names)
    }


def doubt_unpacked() -> None:
    """Let all unpacked files be read again, after one turned out to be another content."""
    _whole.clear()


def _is_unpacked(directory: str, files: Iterable[tuple[str, Pin | Entry]]) -> bool:
    """Whether files are there, with their right contents."""
    return use(directory) and all(_is_whole(f"{directory}{path}", one) for path, one in files)


def _is_whole(path: str, pin: Pin | Entry | MadeFile) -> bool:
    digest = hashlib.sha256()
    try:
        found = os.lstat(path)
        if _whole.get(path) == _identity(found):
            return True
        if not stat.S_ISREG(found.st_mode) or found.st_size != pin.size:
            return False
        for chunk in chunks_of(path):
            digest.update(chunk)
    except (OSError, OcclumError):
        return False
    return digest.hexdigest() == pin.sha256


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _write_made(
    merged: MergedRoot, wanted: Iterable[str], root: str, sources: Iterable[str]
) -> None:
    """Make files as the lock has them; what comes out otherwise is an error that says so."""
    paths = set(wanted)
    if not paths:
        return
    contents = {
        path: read_file(f"{root}{path}", SOURCE_BYTES, code="packages-made", name=path)
        for path in sources
    }
    for one in make_locked(merged.packaged(), contents, merged.made.values()):
        if one.path in paths:
            put_file(f"{root}{one.path}", one.content)


def rules() -> Iterable[Rule]:
    return collect_rules()
