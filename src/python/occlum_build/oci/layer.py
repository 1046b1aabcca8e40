"""One layer of an OCI image.

Process: `python -m occlum_build.oci.layer COMPRESSION ROOT ENTRIES.json LAYER [TABLE.json]`.
COMPRESSION is gzip or zstd; ROOT and the JSON files are those of occlum_build.image.tar. Beside the
layer goes LAYER.json, a LayerInfo.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Protocol, cast

from occlum_build.image.manifest import canonical_json
from occlum_build.image.tar import add_rows, archive_on
from occlum_build.process.contents import Contents
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
    root: str,
    rows: Sequence[Mapping[str, Any]],
    out: str,
    compression: str,
    table: str = "",
) -> LayerInfo:
    """Write the layer of the rows, whose files are below `root` or in the table.

    Same content, same bytes. `compression` is a key of MEDIA_TYPES.
    """
    with open(out, "wb") as sink:
        packer = Packer(sink, compression)
        with archive_on(cast("BinaryIO", packer)) as archive:
            add_rows(archive, rows, Contents(root, table))
        return packer.finish()


def compress(source: BinaryIO, sink: BinaryIO, compression: str) -> LayerInfo:
    """Compress a stream at a fixed level, in pieces; `compression` is a key of MEDIA_TYPES."""
    packer = Packer(sink, compression)
    while chunk := source.read(_CHUNK_BYTES):
        packer.write(chunk)
    return packer.finish()


class Packer:
    """Compresses what is written to it, at a fixed level, into one member or frame of the sink."""

    def __init__(self, sink: BinaryIO, compression: str) -> None:
        self._sink, self._compression = sink, compression
        self._codec = _codec_of(compression)
        self._plain, self._packed = hashlib.sha256(), hashlib.sha256()
        self._waiting = bytearray()
        self._length = self._size = 0
        self._put(self._codec.start())

    def write(self, data: bytes) -> int:
        self._length += len(data)
        self._waiting += data
        while len(self._waiting) >= _CHUNK_BYTES:
            self._pack(bytes(self._waiting[:_CHUNK_BYTES]))
            del self._waiting[:_CHUNK_BYTES]
        return len(data)

    def tell(self) -> int:
        return self._length

    def finish(self) -> LayerInfo:
        """What an image says of all that was written; to be called once."""
        self._pack(bytes(self._waiting))
        self._put(self._codec.end())
        return LayerInfo(
            MEDIA_TYPES[self._compression],
            f"sha256:{self._packed.hexdigest()}",
            self._size,
            f"sha256:{self._plain.hexdigest()}",
        )

    def _pack(self, data: bytes) -> None:
        self._plain.update(data)
        self._put(self._codec.pack(data))

    def _put(self, data: bytes) -> None:
        self._packed.update(data)
        self._size += self._sink.write(data)


class _Codec(Protocol):
    def start(self) -> bytes: ...

    def pack(self, data: bytes) -> bytes: ...

    def end(self) -> bytes: ...


def _codec_of(compression: str) -> _Codec:
    if compression == GZIP:
        return _Gzip()
    return _Zstd()


class _Gzip:
    def __init__(self) -> None:
        self._deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = self._length = 0

    def start(self) -> bytes:
        return GZIP_HEADER

    def pack(self, data: bytes) -> bytes:
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        return self._deflate.compress(data)

    def end(self) -> bytes:
        return self._deflate.flush() + struct.pack("<II", self._crc, self._length & 0xFFFFFFFF)


class _Zstd:
    def __init__(self) -> None:
        # Imported here, as layers of gzip do without it.
        from zstandard import ZstdCompressor

        self._compressor = ZstdCompressor(level=ZSTD_LEVEL).compressobj()

    def start(self) -> bytes:
        return b""

    def pack(self, data: bytes) -> bytes:
        return self._compressor.compress(data)

    def end(self) -> bytes:
        return self._compressor.flush()


def _step(compression: str, root: str, entries: str, out: str, table: str = "") -> None:
    with open(entries, encoding="utf-8") as file:
        rows = json.load(file)
    info = write_layer(root, rows, out, compression, table)
    with open(f"{out}.json", "w", encoding="utf-8") as file:
        json.dump(asdict(info), file, sort_keys=True)


if __name__ == "__main__":
    usage = "occlum_build.oci.layer COMPRESSION ROOT ENTRIES.json LAYER [TABLE.json]"
    sys.exit(run_step(_step, sys.argv[1:], usage, optional=1))
