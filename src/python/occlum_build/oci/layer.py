"""One layer of an OCI image: `python -m occlum_build.oci.layer ROOT ENTRIES.json LAYER.tar.gz`.

ENTRIES.json is that of occlum_build.image.tar. Beside the layer goes LAYER.tar.gz.json with
`digest` and `size` of the layer and `diff_id`, the digest of the archive before it was compressed.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from occlum_build.image.manifest import canonical_json
from occlum_build.image.tar import write_tar

# gzip, RFC 1952: magic, deflate, no flags, no time, no extra flags, system unknown. Fixed here, as
# Python's own header differs with its version.
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
LEVEL = 6
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class LayerInfo:
    """Digests are `sha256:` and lower-case hex; `size` is that of the compressed layer, bytes."""

    digest: str
    size: int
    diff_id: str


def entries_json(entries: Iterable[tuple[str, str, int, str]]) -> bytes:
    """ENTRIES.json of entries in order: path, kind, mode and link target."""
    rows = [
        {"path": path, "type": kind, "mode": mode, "target": target}
        for path, kind, mode, target in entries
    ]
    return canonical_json(rows)


def write_layer(root: str, rows: Sequence[Mapping[str, Any]], out: str) -> LayerInfo:
    """Write the layer of the rows, whose files are below `root`: same content, same bytes.

    Another file beside `out` holds the archive while it is compressed.
    """
    archive = f"{out}.tar"
    write_tar(root, rows, archive)
    try:
        with open(archive, "rb") as source, open(out, "wb") as sink:
            return compress(source, sink)
    finally:
        os.unlink(archive)


def compress(source: BinaryIO, sink: BinaryIO) -> LayerInfo:
    """Compress a stream with gzip at a fixed level, in pieces."""
    plain, packed = hashlib.sha256(), hashlib.sha256()
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    crc = length = size = 0

    def put(data: bytes) -> int:
        packed.update(data)
        return sink.write(data)

    size += put(GZIP_HEADER)
    while chunk := source.read(_CHUNK_BYTES):
        plain.update(chunk)
        crc = zlib.crc32(chunk, crc)
        length += len(chunk)
        size += put(deflate.compress(chunk))
    size += put(deflate.flush())
    size += put(struct.pack("<II", crc, length & 0xFFFFFFFF))
    return LayerInfo(f"sha256:{packed.hexdigest()}", size, f"sha256:{plain.hexdigest()}")


def main(arguments: Sequence[str]) -> int:
    """Exit code 0, or 2 for wrong arguments."""
    if len(arguments) != 3:
        sys.stderr.write("usage: python -m occlum_build.oci.layer ROOT ENTRIES.json LAYER.tar.gz\n")
        return 2
    root, entries, out = arguments
    with open(entries, encoding="utf-8") as file:
        rows = json.load(file)
    info = write_layer(root, rows, out)
    with open(f"{out}.json", "w", encoding="utf-8") as file:
        json.dump(asdict(info), file, sort_keys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
