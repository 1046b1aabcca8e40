"""What was encrypted in an earlier run, without a process where Pants' store still has it."""

from __future__ import annotations

import os
from pathlib import Path

from pants.engine.fs import CreateDigest, FileContent, FileDigest, FileEntry
from pants.util.frozendict import FrozenDict

from occlum_build.occlum.encrypted_cache import EncryptedCache, entry_name
from pants_occlum.compat.pants_rules import create_digest
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.stored import stored_file
from pants_occlum.enclave.keys import ImageKey, KeptEncrypted
from pants_occlum.enclave.steps import COMPILED, PURE, Parts
from pants_occlum.process.tool_process import LARGE_BYTES, ToolSourcesRequest, collect_tool_sources


async def kept_name(key: ImageKey, module: str, *asked: str) -> str:
    """The name of the entry of what a module seals with a key, by digests of what is asked."""
    sources = await collect_tool_sources(ToolSourcesRequest(module, PURE, COMPILED))
    return entry_name(key.fingerprint, *asked, sources.digest.fingerprint)


# A look at the disk, but whatever is there, what is sealed is the same.
async def kept_parts(cache: KeptEncrypted, name: str, places: DistPlaces) -> Parts | None:
    """What an entry has, None where the process has to bring it, or to make it.

    Large files must be in the local store, where the run that made them left them; whoever takes
    them from there compares them with their SHA-256. Small ones are put there.
    """
    kept = EncryptedCache(Path(cache.folder), cache.limits)
    files: dict[str, FileDigest] = {}
    entries: list[FileContent | FileEntry] = []
    for file in kept.look(name, cache.key):
        digest = files[file.path] = FileDigest(file.sha256, file.size)
        if file.size >= LARGE_BYTES:
            if not _is_stored(places, file.sha256, file.size):
                return None
            entries.append(FileEntry(file.path, digest))
            continue
        content = kept.content(name, file)
        if content is None:
            return None
        entries.append(FileContent(file.path, content))
    if not files:
        return None
    return Parts(await create_digest(CreateDigest(entries)), FrozenDict(sorted(files.items())))


def _is_stored(places: DistPlaces, sha256: str, size: int) -> bool:
    try:
        return os.lstat(stored_file(places, sha256)).st_size == size
    except OSError:
        return False
