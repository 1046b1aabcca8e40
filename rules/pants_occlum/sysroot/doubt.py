"""Doubt of what a look at the host told, where a copy turned out to be another content."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption
from pants.util.logging import LogLevel

from occlum_build.errors import OcclumError
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules
from pants_occlum.sysroot.hash_memo import HashMemo, memo_of
from pants_occlum.sysroot.host import SysrootBlob, forget
from pants_occlum.sysroot.listing import host_path


@dataclass(frozen=True)
class HostDoubt:
    """Files of which who copied one found that it is not what the look has told."""

    root: str
    blobs: tuple[SysrootBlob, ...]


@dataclass(frozen=True)
class HostAsLooked:
    """What a doubt was about is gone, or has been changed in a way that the next look will see."""


# A file that a process writes to by a mapping that it keeps open has the times of an older content.
@_uncacheable_rule(desc="Compare host files with what is known of them", level=LogLevel.DEBUG)
async def look_again(doubt: HostDoubt, named_caches_dir: NamedCachesDirOption) -> HostAsLooked:
    memo = memo_of(str(named_caches_dir.val))
    stale = [
        blob
        for blob in doubt.blobs
        if _is_stale(memo, host_path(doubt.root, blob.path), blob.sha256)
    ]
    if stale:
        forget(memo, doubt.root, stale)
        raise OcclumError(
            "source-changed",
            f"{stale[0].path} below {doubt.root} has another content than its size and times say"
            + (f", and {len(stale) - 1} more files" if len(stale) > 1 else ""),
            hint="run Pants again: it reads the files anew",
        )
    return HostAsLooked()


def _is_stale(memo: HashMemo, path: bytes, sha256: str) -> bool:
    """Has a file another content than the memo tells, by which that of `sha256` is there?"""
    try:
        known = memo.known(path, os.lstat(path))
        return known is not None and known.sha256 == sha256 != memo.read(path).sha256
    except OSError:
        return False


def rules() -> Iterable[Rule]:
    return collect_rules()
