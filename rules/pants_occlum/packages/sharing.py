"""Packages as outputs of processes, so that the remote cache is an archive of them.

Pants sends outputs to the remote cache and no inputs. A process that makes its input its output is
asked for with an input that may be in no store: where a cache has the result, it has the package.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    FileDigest,
    FileEntry,
    MergeDigests,
)
from pants.engine.process import Process, ProcessCacheScope
from pants.engine.rules import Rule
from pants.util.logging import LogLevel

from occlum_build.files.trees import clear
from occlum_build.packages.fetching import is_whole
from occlum_build.packages.linked import put_file
from occlum_build.packages.lock import LockedPackage
from occlum_build.packages.urls import Wanted
from pants_occlum.compat.by_name import (
    _uncacheable_rule,
    collect_rules,
    concurrently,
    implicitly,
    rule,
)
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    execute_process,
    get_digest_contents,
    merge_digests,
)
from pants_occlum.packages.awaited import is_missing
from pants_occlum.packages.storing import store_files
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise

_INPUT, _OUTPUT, _STAGED = "in", "out", "debs"


@dataclass(frozen=True)
class ShareRequest:
    """A .deb by its content."""

    sha256: str
    size: int
    name: str = field(compare=False)


@dataclass(frozen=True)
class SharedDeb:
    """A digest that holds it, as SHA256.deb."""

    digest: Digest


@dataclass(frozen=True)
class TriedShare:
    """The digest of a shared .deb, None where neither a store nor a cache has it."""

    digest: Optional[Digest]  # noqa: UP045


@rule(desc="Share a package", level=LogLevel.DEBUG)
async def share_deb(request: ShareRequest) -> SharedDeb:
    name = f"{request.sha256}.deb"
    entry = FileEntry(f"{_INPUT}/{name}", FileDigest(request.sha256, request.size))
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.sysroot.pass_on",
            argv=(_INPUT, _OUTPUT),
            description=f"Share {request.name}",
            input_digest=await create_digest(CreateDigest([entry])),
            output_directories=(_OUTPUT,),
            level=LogLevel.DEBUG,
        ),
    )
    result = await run_tool_or_raise(process)
    return SharedDeb(result.output_digest)


@_uncacheable_rule(desc="Look for a shared package", level=LogLevel.DEBUG)
async def try_share(request: ShareRequest) -> TriedShare:
    try:
        return TriedShare((await share_deb(request)).digest)
    except Exception as error:  # whatever Pants raises, if it names a content
        if not is_missing(error, [request.sha256]):
            raise
        return TriedShare(None)


async def take_shared(
    packages: Sequence[LockedPackage], files: Mapping[str, Path], *, by_process: bool
) -> None:
    """Bring .deb files of caches to their places, by SHA-256, as far as any cache has them.

    by_process: a process can write here; else they come through memory, which keeps them.
    """
    lacking = [one for one in packages if not is_whole(files[one.sha256], _wanted(one))]
    tried = await concurrently(try_share(_request(one)) for one in lacking)
    found = [one.digest for one in tried if one.digest is not None]
    if not found:
        return
    digest = await merge_digests(MergeDigests(found))
    if not by_process:
        for one in await get_digest_contents(digest):
            put_file(str(files[Path(one.path).stem]), one.content)
        return
    staged = files[lacking[0].sha256].parent / f".shared-{os.urandom(8).hex()}"
    os.makedirs(str(staged.parent), exist_ok=True)
    process = Process(
        ("/bin/cp", "-R", "--", f"{_STAGED}/{_OUTPUT}", str(staged)),
        input_digest=await add_prefix(AddPrefix(digest, _STAGED)),
        description="Take packages from the cache",
        cache_scope=ProcessCacheScope.PER_SESSION,
        level=LogLevel.DEBUG,
    )
    try:
        await execute_process(process, **implicitly())  # what it could not write is downloaded
        with suppress(FileNotFoundError):
            for file in sorted(staged.iterdir()):
                os.replace(str(file), str(files[file.stem]))
    finally:
        clear(str(staged))


async def share(packages: Iterable[LockedPackage], files: Mapping[str, Path]) -> None:
    """Let the remote cache have those packages that are at their places, by SHA-256."""
    here = [one for one in packages if files[one.sha256].exists()]
    tried = await concurrently(try_share(_request(one)) for one in here)
    missing = [
        one
        for one, found in zip(here, tried)
        if found.digest is None and is_whole(files[one.sha256], _wanted(one))
    ]
    await store_debs(missing, {one.sha256: str(files[one.sha256]) for one in missing})
    await concurrently(share_deb(_request(one)) for one in missing)


async def store_debs(packages: Sequence[LockedPackage], files: Mapping[str, str]) -> None:
    """Take .deb files into Pants' store; `files` has the path of each by SHA-256."""
    await store_files([(files[one.sha256], FileDigest(one.sha256, one.size)) for one in packages])


def _request(package: LockedPackage) -> ShareRequest:
    name = f"{package.package} {package.version}"
    return ShareRequest(package.sha256, package.size, name)


def _wanted(package: LockedPackage) -> Wanted:
    return Wanted(package.path, package.sha256, package.size)


def rules() -> Iterable[Rule]:
    return collect_rules()
