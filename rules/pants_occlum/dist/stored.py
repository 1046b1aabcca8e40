"""Contents of Pants' local store, which does not compare what it reads of a large file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.fs import Digest
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption

from occlum_build.errors import OcclumError, Problem
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules
from pants_occlum.dist.digest import file_digests
from pants_occlum.dist.places import DistPlaces
from pants_occlum.sysroot.hash_memo import memo_of

DAMAGED = "store-damaged"
# A pantsd that knows what the file held would not make it anew.
HINT = "remove it, and run Pants once with --no-pantsd: what it held is made anew"


@dataclass(frozen=True)
class StoredRequest:
    """Artefacts that Pants itself is going to write to dist."""

    digest: Digest


@dataclass(frozen=True)
class Stored:
    """A digest whose large files have the contents that it says."""

    digest: Digest


def damaged_store(places: DistPlaces, contents: Iterable[str]) -> OcclumError:
    """The error of contents, given by SHA-256, that the local store holds damaged."""
    return OcclumError.of([_problem(places, sha256) for sha256 in sorted(set(contents))])


# In each session: the store may be damaged at any time. What has not changed is not read again.
@_uncacheable_rule
async def check_stored(
    request: StoredRequest, places: DistPlaces, named_caches_dir: NamedCachesDirOption
) -> Stored:
    memo = memo_of(str(named_caches_dir.val))
    damaged = []
    for file in (await file_digests(request.digest)).values():
        path = os.fsencode(stored_file(places, file.fingerprint))
        try:
            found = memo.known(path, os.lstat(path)) or memo.read(path)
        except OSError:  # small ones are in a database
            continue
        if found.sha256 != file.fingerprint:
            damaged.append(file.fingerprint)
    memo.save()
    if damaged:
        raise damaged_store(places, damaged)
    return Stored(request.digest)


def _problem(places: DistPlaces, sha256: str) -> Problem:
    file = stored_file(places, sha256)
    if os.path.lexists(file):
        what, message = file, "has another content than its name says"
    else:
        what, message = places.store_dir, f"has another content for {sha256}"
    return Problem(DAMAGED, f"Pants' local store is damaged: {what} {message}", hint=HINT)


def stored_file(places: DistPlaces, sha256: str) -> str:
    """Where Pants keeps a content of 512 KiB and more."""
    return os.path.join(places.store_dir, "immutable/files", sha256[:2], sha256)


def rules() -> Iterable[Rule]:
    return collect_rules()
