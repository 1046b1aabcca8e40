"""Unpacks an index within bounds: what a few KB hold may be terabytes."""

from __future__ import annotations

import io

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MIB, shown_bytes
from occlum_build.files.compressed import DAMAGED, BadArchive, Readable, damage_told, decompressed

_CHUNK_BYTES = 1 * MIB


def unpacked(data: bytes, name: str, limit: int) -> bytes:
    """The content of .xz or .gz, or of what is plain, by the end of `name`; at most `limit` bytes.

    Raises OcclumError `archive-index` for what is damaged or holds more.
    """
    source = io.BytesIO(data)
    try:
        with damage_told():
            if not name.endswith((".xz", ".gz")):
                return _content(source, limit)
            with decompressed(source) as stream:
                if stream is source:  # it is not compressed at all
                    raise BadArchive(DAMAGED)
                return _content(stream, limit)
    except BadArchive as error:
        message = f"{name} cannot be unpacked: {error}"
        raise OcclumError("archive-index", message, place=Place(name)) from None


def _content(stream: Readable, limit: int) -> bytes:
    chunks, left = [], limit
    while chunk := stream.read(_CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise BadArchive(f"it holds more than {shown_bytes(limit)}")
        chunks.append(chunk)
    return b"".join(chunks)
