"""A large archive as parts: compressed one by one, and then one file.

A part is some entries of the archive as a gzip member or a zstd frame of its own. Such may follow
one another in a file, and what is unpacked is the archive. Which entries are in a part depends on
these and a few before them, so that an edit of one file makes one part anew; and no process gives
more than a part, as Pants holds in memory all outputs of a process that it sends to a remote cache.

Processes: `python -m occlum_build.oci.parts pack COMPRESSION ROOT ENTRIES.json OUT TABLE.json` as
of occlum_build.oci.layer, without the end of the archive, and
`python -m occlum_build.oci.parts join COMPRESSION PARTS OUT` of the files in a directory, in the
order of their names. Beside OUT goes OUT.json then, a LayerInfo.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, cast

from occlum_build.files.compressed import decompressed
from occlum_build.image.tar import add_rows, archive_on
from occlum_build.oci.layer import MEDIA_TYPES, LayerInfo, Packer
from occlum_build.process.contents import Contents
from occlum_build.process.step import run_step

# What a part has before it is compressed; a larger file is a part by itself.
PART_BYTES = 32 << 20
_LEAST_BYTES = PART_BYTES // 2
_ONE_IN = 128
_CHUNK_BYTES = 1 << 20


def parts_of(files: Iterable[tuple[str, int]]) -> list[int]:
    """How many entries each part has of an archive with these, in order: path, size in bytes.

    One for all of an archive of up to PART_BYTES.
    """
    files = list(files)
    if sum(size for _, size in files) <= PART_BYTES:
        return [len(files)]
    counts, held = [0], 0
    for path, size in files:
        is_cut = held >= _LEAST_BYTES and zlib.crc32(path.encode()) % _ONE_IN == 0
        if counts[-1] and (is_cut or held + size > PART_BYTES):
            counts.append(0)
            held = 0
        counts[-1] += 1
        held += size
    return counts


def pack_part(
    rows: Iterable[dict[str, Any]], contents: Contents, out: str, compression: str
) -> None:
    """Write some entries of an archive, compressed."""
    with open(out, "wb") as sink:
        packer = Packer(sink, compression)
        add_rows(archive_on(cast("BinaryIO", packer)), rows, contents)  # not closed: no end
        packer.finish()


def join_parts(parts: list[Path], out: Path, compression: str) -> LayerInfo:
    """Make one file of the parts and the end of the archive."""
    with open(out, "wb") as sink, ThreadPoolExecutor(1) as beside:
        packed = beside.submit(_copy, parts, sink)
        plain, length = hashlib.sha256(), 0
        for chunk in _unpacked(parts):
            plain.update(chunk)
            length += len(chunk)
        end = _end(length)
        plain.update(end)
        last = io.BytesIO()
        packer = Packer(last, compression)
        packer.write(end)
        packer.finish()
        hasher = packed.result()
        hasher.update(last.getvalue())
        sink.write(last.getvalue())
        size = sink.tell()
    return LayerInfo(
        MEDIA_TYPES[compression],
        f"sha256:{hasher.hexdigest()}",
        size,
        f"sha256:{plain.hexdigest()}",
    )


def _copy(parts: Iterable[Path], sink: BinaryIO) -> Any:
    hasher = hashlib.sha256()
    for part in parts:
        with open(part, "rb") as source:
            while chunk := source.read(_CHUNK_BYTES):
                hasher.update(chunk)
                sink.write(chunk)
    return hasher


def _unpacked(parts: Iterable[Path]) -> Iterator[bytes]:
    for part in parts:
        with open(part, "rb") as source, decompressed(source) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk


def _end(length: int) -> bytes:
    """What ends an archive of so many bytes: two blocks of zeros, and up to a whole record."""
    with_end = length + 2 * tarfile.BLOCKSIZE
    return bytes(-with_end % tarfile.RECORDSIZE + with_end - length)


def _step(verb: str, compression: str, *arguments: str) -> None:
    if verb == "pack":
        root, entries, out, table = arguments
        with open(entries, encoding="utf-8") as file:
            rows = json.load(file)
        pack_part(rows, Contents(root, table), out, compression)
    else:
        folder, out = arguments
        parts = [Path(folder, name) for name in sorted(os.listdir(folder))]
        info = join_parts(parts, Path(out), compression)
        with open(f"{out}.json", "w", encoding="utf-8") as file:
            json.dump(asdict(info), file, sort_keys=True)


if __name__ == "__main__":
    usage = "occlum_build.oci.parts VERB COMPRESSION PLACE OUT|ENTRIES.json OUT TABLE.json"
    sys.exit(run_step(_step, sys.argv[1:], usage, optional=2))
