"""Regular files of a secure file system, sealed without a key where they belong.

Process: `python -m occlum_build.occlum.seal_files REQUEST DIRECTORY`. REQUEST has Wanted files as
JSON. Their contents are found as by seal_image.py, which has sealed them before: what was measured
has to come of it again. A file that stands in the directory is written anew.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.files.shared_work import Numbers, parts_of, share_work
from occlum_build.occlum.file_sealer import FileSealer, ImageFile
from occlum_build.process.step import run_step
from occlum_build.sefs.hostio import opened, place_of
from occlum_build.sefs.pf_crypto import IntegrityOnly

FILE_MODE = 0o644
_FLAGS = os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Wanted(NamedTuple):
    """A file to be sealed, and the SHA-256 in hex that the protected file has to have."""

    file: ImageFile
    sealed_sha256: str


def request_json(wanted: Iterable[Wanted]) -> bytes:
    """The files as JSON."""
    rows = [(*one.file, one.sealed_sha256) for one in wanted]
    return json.dumps(rows, separators=(",", ":")).encode()


def seal_files(wanted: Sequence[Wanted], directory: str) -> None:
    """Write the files into a directory, with the mode FILE_MODE; several processes share the work.

    Raises OcclumError: CONTENT_MISSING for a content that nobody has, `sefs-io`, and `sealed` for a
    file that comes out otherwise than it was measured, or when who started this process has ended:
    another run may then write to the same place.
    """
    sealer = FileSealer(lambda _: IntegrityOnly())
    process, parent = os.getpid(), os.getppid()

    def seal(part: range) -> Numbers:
        if os.getpid() == process and os.getppid() != parent:
            raise OcclumError("sealed", "Pants has ended before all files were written")
        for one in wanted[part.start : part.stop]:
            _seal(sealer, one, f"{directory}/{one.file.name}")
        return ()

    before = os.umask(0)
    try:
        share_work(parts_of(one.file.sealed_size for one in wanted), seal)
    finally:
        os.umask(before)


def _seal(sealer: FileSealer, wanted: Wanted, path: str) -> None:
    with opened(path, _FLAGS, FILE_MODE) as descriptor:
        sealed = sealer.seal(wanted.file, descriptor)
    if sealed.sha256 != wanted.sealed_sha256:
        raise OcclumError(
            "sealed",
            "comes out otherwise than it was measured",
            place=place_of(path),
            hint="what was measured is in Pants' cache: run Pants with --no-local-cache, and with "
            "--no-remote-cache-read where there is a remote cache",
        )


def _step(request: str, directory: str) -> None:
    found = json.loads(Path(request).read_bytes())
    wanted = [Wanted(ImageFile(*file), sha256) for *file, sha256 in found]
    seal_files(wanted, directory)


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.occlum.seal_files REQUEST DIRECTORY"))
