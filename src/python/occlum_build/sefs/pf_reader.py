"""Reads protected files and checks every tag on the way (docs/sefs-format.md, 3)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.sefs.hostio import READ_FLAGS, os_errors, place_of, read_at
from occlum_build.sefs.pf_crypto import Opener, SealedMetadata
from occlum_build.sefs.pf_format import (
    DATA_PER_MHT,
    ENCRYPTED_PART,
    ENCRYPTED_PART_END,
    ENCRYPTED_PART_OFFSET,
    ENTRY_SIZE,
    FILE_ID,
    GROUP_SIZE,
    INLINE_SIZE,
    MAJOR_VERSION,
    NODE_SIZE,
    PLAIN_PART,
    Layout,
    clean_file_name,
    mht_node_number,
    mht_parent,
)
from occlum_build.shown import quoted

_MHT_CACHE_NODES = 64


class PfReader:
    """An open protected file: node 0 is checked when it is opened, other nodes when they are read.

    Raises OcclumError, always with the file as place: `pf-length`, `pf-header`, `pf-mode` (of the
    other mode), `pf-tag` (damaged or forged, or the wrong key; names the node), `pf-name` (the file
    was renamed), `sefs-io`. Memory: a group of nodes and 64 MHT nodes at most (about 650 KiB).
    """

    def __init__(self, path: str | Path, opener: Opener) -> None:
        self.path = path
        self._opener = opener
        self._mht_cache: dict[int, bytes] = {}
        self._loaded_group = -1
        with os_errors(path):
            self._descriptor = os.open(path, READ_FLAGS | os.O_NONBLOCK)
        try:
            with os_errors(path):
                self._read_metadata_node()
            self._buffer = memoryview(
                bytearray(min(self.layout.data_nodes, DATA_PER_MHT) * NODE_SIZE)
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> PfReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Plaintext bytes."""
        return self.layout.size

    def chunks(self) -> Iterator[memoryview]:
        """The plaintext in order, in pieces of up to 384 KiB; a piece is valid until the next."""
        if self.size:
            yield memoryview(self._inline)[: self.size]
        for mht in range(self.layout.mht_nodes):
            self._load_group(mht)
            yield self._buffer[: self.size - INLINE_SIZE - mht * GROUP_SIZE]

    def read_all(self) -> bytes:
        """The whole plaintext; for files whose size the caller has found to be reasonable."""
        return b"".join(bytes(chunk) for chunk in self.chunks())

    def read(self, offset: int, length: int) -> bytes:
        """`length` plaintext bytes from `offset`; both must lie in the file."""
        if offset < 0 or offset + length > self.size:
            raise ValueError("outside of the file")
        pieces = []
        while length:
            if offset < INLINE_SIZE:
                piece = self._inline[offset : min(offset + length, INLINE_SIZE)]
            else:
                mht, start = divmod(offset - INLINE_SIZE, GROUP_SIZE)
                self._load_group(mht)
                piece = bytes(self._buffer[start : start + length])
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    def check_all(self) -> None:
        """Check every node; raises for the first that does not match."""
        for _ in self.chunks():
            pass

    def mht_node(self, mht: int) -> bytes:
        """The checked plaintext (4096 bytes) of MHT node `mht`."""
        node = self._mht_cache.get(mht)
        if node is None:
            if mht:
                parent, offset = mht_parent(mht)
                entry = self.mht_node(parent)[offset : offset + ENTRY_SIZE]
            else:
                entry = self.root_entry
            view = memoryview(bytearray(NODE_SIZE))
            number = mht_node_number(mht)
            self._read_nodes(view, number)
            if self._opener.open([view], entry) is not None:
                raise self._error(
                    "pf-tag", f"node {number} (MHT node {mht}) does not match its tag"
                )
            if len(self._mht_cache) >= _MHT_CACHE_NODES:
                self._mht_cache.clear()
            node = self._mht_cache[mht] = bytes(view)
        return node

    def _load_group(self, mht: int) -> None:
        """Make the data nodes of MHT node `mht` the content of the buffer."""
        if self._loaded_group == mht:
            return
        entries = self.mht_node(mht)
        self._loaded_group = -1
        count, number = self.layout.data_nodes_of(mht), mht_node_number(mht) + 1
        self._read_nodes(self._buffer[: count * NODE_SIZE], number)
        nodes = [self._buffer[i * NODE_SIZE : (i + 1) * NODE_SIZE] for i in range(count)]
        bad = self._opener.open(nodes, entries[: count * ENTRY_SIZE])
        if bad is not None:
            index = mht * DATA_PER_MHT + bad
            message = f"node {number + bad} (data node {index}) does not match its tag"
            raise self._error("pf-tag", message)
        self._loaded_group = mht

    def _read_nodes(self, view: memoryview, number: int) -> None:
        with os_errors(self.path):
            if not read_at(self._descriptor, view, number * NODE_SIZE):
                raise self._error("pf-length", f"ends before node {number}")

    def _read_metadata_node(self) -> None:
        length = os.fstat(self._descriptor).st_size
        if length == 0 or length % NODE_SIZE:
            raise self._error("pf-length", f"{length} bytes are not a number of 4096-byte nodes")
        node = bytearray(NODE_SIZE)
        self._read_nodes(memoryview(node), 0)
        plain = PLAIN_PART.unpack(bytes(node[: PLAIN_PART.size]))
        self._check_plain_part(plain)
        self.key_id: bytes = plain["meta_data_key_id"]
        self.mac: bytes = plain["meta_data_gmac"]
        stored = bytes(node[ENCRYPTED_PART_OFFSET:ENCRYPTED_PART_END])
        part = self._opener.open_metadata(SealedMetadata(self.key_id, stored, self.mac))
        if part is None:
            hint = "" if self._opener.integrity_only else "or the key is not the one of this file"
            raise self._error("pf-tag", "node 0 (metadata node) does not match its tag", hint)
        fields = ENCRYPTED_PART.unpack(part)
        self._check_name(fields["clean_filename"])
        self.layout = Layout(fields["size"])
        if self.size < 0:
            raise self._error("pf-length", f"node 0 holds a size of {self.size} bytes")
        if self.layout.host_length != length:
            message = f"has {length} bytes, not the {self.layout.host_length} its node 0 asks for"
            raise self._error("pf-length", message)
        self.root_entry: bytes = fields["mht_key"] + fields["mht_gmac"]
        self._inline: bytes = fields["data"]

    def _check_plain_part(self, plain: dict[str, Any]) -> None:
        if plain["file_id"] != FILE_ID:
            raise self._error("pf-header", "node 0 has no file id: not a protected file")
        if plain["major_version"] != MAJOR_VERSION:
            raise self._error("pf-header", f"node 0 has version {plain['major_version']}, not 1")
        if plain["update_flag"]:
            raise self._error("pf-header", "node 0: writing of the file was not finished")
        if plain["use_user_kdk_key"] != 1:
            raise self._error("pf-mode", "node 0: made with a key of the CPU, not of a user")
        if plain["integrity_only"] == int(self._opener.integrity_only):
            return
        if self._opener.integrity_only:
            raise self._error("pf-mode", "node 0: the file is encrypted", "give its key")
        raise self._error("pf-mode", "node 0: the file is integrity-only", "give no key")

    def _check_name(self, field: bytes) -> None:
        name, expected = field.split(b"\0", 1)[0], clean_file_name(str(self.path))
        if name != expected:
            raise self._error(
                "pf-name",
                f"node 0: the file was written under the name {quoted(name)}",
                "a protected file can be moved to another directory but not renamed",
            )

    def _error(self, code: str, message: str, hint: str = "") -> OcclumError:
        return OcclumError(code, message, place=place_of(self.path), hint=hint)
