"""The inputs that are kept: `corpus/READER.tar.xz`, and what was ever found as `finds/READER/*`."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from collections.abc import Iterable
from pathlib import Path

_HERE = Path(__file__).parent
CORPUS, FINDS = _HERE / "corpus", _HERE / "finds"
_KEPT_BYTES = 24 << 10  # of an archive, as it is part of the repository


def finds(reader: str) -> list[Path]:
    """Inputs that once ended in a traceback, or took too long."""
    folder = FINDS / reader
    return sorted(folder.iterdir()) if folder.is_dir() else []


def read_corpus(reader: str) -> list[bytes]:
    """Inputs that together reach what fuzzing has reached so far, or much of it."""
    path = CORPUS / f"{reader}.tar.xz"
    if not path.exists():
        return []
    with tarfile.open(path) as archive:
        streams = [archive.extractfile(member) for member in archive]
        return [stream.read() for stream in streams if stream is not None]


def write_corpus(reader: str, inputs: Iterable[bytes]) -> None:
    """Keep inputs, the smallest first, as many as fit."""
    by_size = sorted(set(inputs), key=lambda one: (len(one), one))
    while len(_packed(by_size)) > _KEPT_BYTES:
        del by_size[-max(1, len(by_size) // 20) :]
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / f"{reader}.tar.xz").write_bytes(_packed(by_size))


def _packed(inputs: Iterable[bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for content in inputs:
            member = tarfile.TarInfo(hashlib.sha256(content).hexdigest()[:16])
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return lzma.compress(stream.getvalue(), preset=9)
