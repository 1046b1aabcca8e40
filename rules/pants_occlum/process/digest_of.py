"""Digests of files whose contents are in memory, however large these are."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from typing import IO

from pants.engine.fs import CreateDigest, Digest, FileContent, FileDigest, FileEntry
from pants.engine.fs import NativeDownloadFile as Download

from pants_occlum.compat.by_name import concurrently
from pants_occlum.compat.pants_rules import create_digest, download_file

MUCH_BYTES = 128 << 10


async def digest_of(files: Iterable[FileContent | FileEntry]) -> Digest:
    """What CreateDigest makes of the files.

    That makes a Python object of each byte of a FileContent: 12 MB take half a second, in which no
    rule runs. So Pants reads large contents from files instead, which have no name.
    """
    entries: list[FileContent | FileEntry] = []
    downloads = []
    with ExitStack() as opened:
        for file in files:
            if isinstance(file, FileContent) and len(file.content) >= MUCH_BYTES:
                try:
                    descriptor = _written(file.content, opened)
                except OSError:  # too many are open, or there is no space: slower
                    entries.append(file)
                    continue
                digest = FileDigest(hashlib.sha256(file.content).hexdigest(), len(file.content))
                # Not "self": a path that was read before is not read again, were the store damaged.
                url = f"file:/proc/{_own_number()}/fd/{descriptor}"
                downloads.append(Download(url, digest))
                entries.append(FileEntry(file.path, digest, file.is_executable))
            else:
                entries.append(file)
        await concurrently(download_file(one) for one in downloads)
    return await create_digest(CreateDigest(entries))


def _own_number() -> str:
    """The number of this process in /proc, which may be that of another PID namespace."""
    return os.readlink("/proc/self")


def _written(content: bytes, opened: ExitStack) -> int:
    """The descriptor of a file without a name that holds the content. May raise OSError."""
    stream = opened.enter_context(_unnamed())
    left = memoryview(content)
    while left:
        left = left[stream.write(left) :]
    return stream.fileno()


def _unnamed() -> IO[bytes]:
    # Lacking where Python was built with an old C library, as that of Pants' own launcher is.
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("content"), "wb", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
