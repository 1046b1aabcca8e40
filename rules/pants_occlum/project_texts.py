"""Small files of the project that rules read: no larger one is taken into memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pants.engine.fs import CreateDigest, FileEntry, PathGlobs

from pants_occlum.compat.by_name import implicitly
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents, get_digest_entries
from pants_occlum.project_paths import literal


class ProjectTexts(NamedTuple):
    """The contents of files by path, and the paths of those that have more bytes than allowed."""

    contents: dict[str, bytes]
    too_large: tuple[str, ...]


async def project_texts(paths: Iterable[str], limit: int) -> ProjectTexts:
    """Those of the files that are there; `limit` is how many bytes each may have."""
    entries = await get_digest_entries(**implicitly(PathGlobs(sorted(map(literal, paths)))))
    files = [entry for entry in entries if isinstance(entry, FileEntry)]
    small = [one for one in files if one.file_digest.serialized_bytes_length <= limit]
    found = await get_digest_contents(await create_digest(CreateDigest(small)))
    return ProjectTexts(
        {file.path: file.content for file in found},
        tuple(sorted(one.path for one in files if one not in small)),
    )
