"""Files of this machine that become contents of Pants' store, however large they are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from pants.engine.fs import FileDigest, NativeDownloadFile

from occlum_build.files.source import open_source
from pants_occlum.compat.by_name import concurrently
from pants_occlum.compat.pants_rules import download_file

_IN_FLIGHT = 64


async def store_files(files: Sequence[tuple[str, FileDigest]]) -> None:
    """Take files into the store, each at a path with the content that it is to have."""
    for start in range(0, len(files), _IN_FLIGHT):
        with ExitStack() as opened:
            downloads = []
            for path, digest in files[start : start + _IN_FLIGHT]:
                file = opened.enter_context(open_source(path))
                # Pants opens the path of such a URL as it stands there, percent-encoded.
                url = f"file:/proc/self/fd/{file.descriptor}"
                downloads.append(NativeDownloadFile(url, digest))
            await concurrently(download_file(one) for one in downloads)
