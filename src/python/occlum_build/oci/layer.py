"""One layer of an OCI image.

Process: `python -m occlum_build.oci.layer COMPRESSION ROOT ENTRIES.json LAYER [TABLE.json]`.
COMPRESSION is gzip or zstd; ROOT and the JSON files are those of occlum_build.image.tar. Beside the
layer goes LAYER.json, a LayerInfo.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from occlum_build.image.manifest import canonical_json
from occlum_build.image.tar import write_tar
from occlum_build.process.complete import complete_tree
from occlum_build.process.step import run_step

# gzip, RFC 1952: magic, deflate, no flags, no time, no extra flags, system unknown. Fixed here, as
# Python's own header differs with its version.
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
GZIP, ZSTD = "gzip", "zstd"
GZIP_LEVEL, ZSTD_LEVEL = 6, 9
# Of the image specification 1.1.
MEDIA_TYPES = {
    GZIP: "application/vnd.oci.image.layer.v1.tar+gzip",
    ZSTD: "application/vnd.oci.image.layer.v1.tar+zstd",
}
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class LayerInfo:
    """What an image says of a layer: digests are `sha256:` and lower-case hex.

    `digest` and `size`, in bytes, are those of the compressed layer, `diff_id` is the digest of the
    archive in it.
    """

    media_type: str
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


def write_layer(
    root: str, rows: Sequence[Mapping[str, Any]], out: str, compression: str
) -> LayerInfo:
    """Write the layer of the rows, whose files are below `root`: same content, same bytes.

    `compression` is a key of MEDIA_TYPES. Another file beside `out` holds the archive while it is
    compressed.
    """
    archive = f"{out}.tar"
    write_tar(root, rows, archive)
    try:
        with open(archive, "rb") as source, open(out, "wb") as sink:
            return compress(source, sink, compression)
    finally:
        os.unlink(archive)


def compress(source: BinaryIO, sink: BinaryIO, compression: str) -> LayerInfo:
    """Compress a stream at a fixed level, in pieces; `compression` is a key of MEDIA_TYPES."""
    plain, packed = hashlib.sha256(), hashlib.sha256()

    def chunks() -> Iterator[bytes]:
        while chunk := source.read(_CHUNK_BYTES):
            plain.update(chunk)
            yield chunk

    size = 0
    for data in (_gzip if compression == GZIP else _zstd)(chunks()):
        packed.update(data)
        size += sink.write(data)
    diff_id = f"sha256:{plain.hexdigest()}"
    return LayerInfo(MEDIA_TYPES[compression], f"sha256:{packed.hexdigest()}", size, diff_id)


def _gzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    crc = length = 0
    yield GZIP_HEADER
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
        length += len(chunk)
        yield deflate.compress(chunk)
    yield deflate.flush()
    yield struct.pack("<II", crc, length & 0xFFFFFFFF)


def _zstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    # Imported here, as layers of gzip do without it.
    from zstandard import ZstdCompressor

    compressor = ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def _step(compression: str, root: str, entries: str, out: str, table: str = "") -> None:
    if table:
        complete_tree(root, table)
    with open(entries, encoding="utf-8") as file:
        rows = json.load(file)
    info = write_layer(root, rows, out, compression)
    with open(f"{out}.json", "w", encoding="utf-8") as file:
        json.dump(asdict(info), file, sort_keys=True)


if __name__ == "__main__":
    usage = "occlum_build.oci.layer COMPRESSION ROOT ENTRIES.json LAYER [TABLE.json]"
    sys.exit(run_step(_step, sys.argv[1:], usage, optional=1))
