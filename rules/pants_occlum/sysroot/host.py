"""Rules that see the host's files afresh in each session and take them into Pants' store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import NamedTuple

from pants.engine.fs import FileDigest, NativeDownloadFile
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption
from pants.util.frozendict import FrozenDict
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError
from occlum_build.files.source import open_source
from occlum_build.process.complete import SYSROOTS
from occlum_build.shown import some
from pants_occlum.compat.by_name import (
    _uncacheable_rule,
    collect_rules,
    concurrently,
    implicitly,
    rule,
)
from pants_occlum.compat.pants_rules import download_file
from pants_occlum.packages.contents import doubt_unpacked
from pants_occlum.process.content_groups import content_groups
from pants_occlum.process.loaded_sources import LOADED
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.process.tool_process import link_in_cache, link_python
from pants_occlum.sysroot.hash_memo import HashMemo, memo_of
from pants_occlum.sysroot.listing import host_path
from pants_occlum.sysroot.looks import (
    Run,
    Scheduler,
    SysrootRequest,
    SysrootSnapshot,
    forget_looks,
    look,
)
from pants_occlum.sysroot.own_keys import OwnKeys

# Each blob in flight holds three files open, and the usual limit of a process is 1,024.
BLOBS_IN_FLIGHT = 128
LARGE_BYTES = 64 << 20
SYSROOT_CACHE = "occlum_sysroots"
# What a process needs that completes a tree with files of the host.
SYSROOT_CACHES = FrozenDict({SYSROOT_CACHE: SYSROOTS})


class SysrootBlob(NamedTuple):
    """The content of one host file: path below the root, SHA-256 in hex, size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class SysrootIngest:
    """A request to take the content of host files into the store."""

    root: str
    blobs: tuple[SysrootBlob, ...]


@dataclass(frozen=True)
class _Batch:
    """A few blobs: a node of its own, so that what has not changed is not taken in again."""

    root: str
    blobs: tuple[SysrootBlob, ...]


@dataclass(frozen=True)
class IngestedBlobs:
    """SHA-256 in hex -> the digest of a blob that is in the store."""

    digests: Mapping[str, FileDigest]


@rule
async def scheduler_of_run() -> Scheduler:
    return Scheduler()


@_uncacheable_rule(desc="Look at the host's files", level=LogLevel.DEBUG)
async def look_at_sysroot(
    request: SysrootRequest,
    named_caches_dir: NamedCachesDirOption,
    scheduler: Scheduler,
    run_id: RunId,
    keys: OwnKeys,
) -> SysrootSnapshot:
    LOADED.require_unchanged(run_id)
    if not os.path.isdir(request.root):
        raise OcclumError("sysroot-missing", f"the sysroot {request.root} is not a directory")
    link_python(named_caches_dir)
    link_sysroot(named_caches_dir, request.root)
    memo = _memo(named_caches_dir)
    with quiet_gc():
        snapshot = look(request, Run(scheduler, run_id), memo, keys)
    memo.save()
    return snapshot


@rule
async def ingest_batch(batch: _Batch, named_caches_dir: NamedCachesDirOption) -> IngestedBlobs:
    digests = {blob.sha256: FileDigest(blob.sha256, blob.size) for blob in batch.blobs}
    memo = _memo(named_caches_dir)
    with ExitStack() as opened:
        try:
            urls = [_url(batch.root, blob, opened) for blob in batch.blobs]
            await concurrently(
                download_file(NativeDownloadFile(url, digests[blob.sha256]))
                for url, blob in zip(urls, batch.blobs)
            )
        except Exception as error:  # noqa: BLE001 - whatever Pants raises for a download
            changed = _changed(batch, memo)
            forget(memo, batch.root, batch.blobs)
            raise OcclumError(
                "source-changed",
                f"{some(changed) or 'a host file'} is not what it was when the run began: {error}",
                hint="leave the files alone while Pants runs, then run it again",
            ) from None
    return IngestedBlobs(digests)


@rule(desc="Take host files into the store", level=LogLevel.DEBUG)
async def ingest(request: SysrootIngest) -> IngestedBlobs:
    blobs = {blob.sha256: blob for blob in sorted(request.blobs, reverse=True)}
    digests: dict[str, FileDigest] = {}
    for batch in batches(blobs):
        # One after the other, so that few files are open at a time.
        ingested = await ingest_batch(_Batch(request.root, tuple(batch)), **implicitly())
        digests.update(ingested.digests)
    return IngestedBlobs(digests)


def link_sysroot(named_caches_dir: NamedCachesDirOption, root: str) -> None:
    """See to the link by which processes find the sysroot, wherever it is on this machine."""
    name = hashlib.sha256(os.fsencode(root)).hexdigest()
    link_in_cache(root, str(named_caches_dir.val / SYSROOT_CACHE / name))


def batches(blobs: Mapping[str, SysrootBlob]) -> Iterator[list[SysrootBlob]]:
    """The small blobs in groups, then the large ones one at a time."""
    small = {sha256: blob for sha256, blob in blobs.items() if blob.size < LARGE_BYTES}
    for group in content_groups(small, BLOBS_IN_FLIGHT // 2):
        for start in range(0, len(group), BLOBS_IN_FLIGHT):
            yield group[start : start + BLOBS_IN_FLIGHT]
    yield from ([blob] for _, blob in sorted(blobs.items()) if blob.size >= LARGE_BYTES)


def _url(root: str, blob: SysrootBlob, opened: ExitStack) -> str:
    """A URL of a host file, which stays open for it: what takes its place is not waited for.

    Raises OSError, and OcclumError where it is no regular file.
    """
    file = opened.enter_context(open_source(host_path(root, blob.path)))
    return f"file:/proc/self/fd/{file.descriptor}"


def _changed(batch: _Batch, memo: HashMemo) -> list[str]:
    """The files of a batch that are not what they were, after something failed."""
    changed = []
    for blob in batch.blobs:
        try:
            sha256 = memo.read(host_path(batch.root, blob.path)).sha256
        except OSError:
            sha256 = ""
        if sha256 != blob.sha256:
            changed.append(blob.path)
    return changed


def forget(memo: HashMemo, root: str, blobs: Iterable[SysrootBlob]) -> None:
    """Let the next look read some files, whatever their times say."""
    for blob in blobs:
        memo.forget(host_path(root, blob.path))
    memo.save()
    doubt_unpacked()
    forget_looks()


def _memo(named_caches_dir: NamedCachesDirOption) -> HashMemo:
    return memo_of(str(named_caches_dir.val))


def rules() -> Iterable[Rule]:
    return collect_rules()
