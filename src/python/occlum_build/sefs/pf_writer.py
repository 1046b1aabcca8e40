"""Writes protected files (docs/sefs-format.md, 3) in constant memory and one pass.

The groups (an MHT node and its up to 96 data nodes, adjacent in the file) are written from the
last to the first: the entries of an MHT node's children are then known when it is sealed, so no
node is kept or written twice. What grows is 32 bytes a group, 88 KiB for 1 GiB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from occlum_build.files.source import SourceFile
from occlum_build.sefs.hostio import CREATE_FLAGS, opened, os_errors, read_at, write_at
from occlum_build.sefs.pf_crypto import Sealer
from occlum_build.sefs.pf_format import (
    CHILDREN_PER_MHT,
    DATA_PER_MHT,
    ENCRYPTED_PART,
    ENTRY_SIZE,
    FILE_ID,
    GROUP_NODES,
    GROUP_SIZE,
    INLINE_SIZE,
    KEY_SIZE,
    MAJOR_VERSION,
    MINOR_VERSION,
    NODE_SIZE,
    PLAIN_PART,
    Layout,
    mht_node_number,
)

SOURCE_CHANGED = "sefs-source-changed"


class Source(Protocol):
    """The plaintext of a protected file, readable at any offset."""

    size: int

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fill `view` with the bytes from `offset`."""


class BytesSource:
    """A plaintext in memory."""

    def __init__(self, data: bytes) -> None:
        self.size = len(data)
        self._data = memoryview(data)

    def read_into(self, view: memoryview, offset: int) -> None:
        view[:] = self._data[offset : offset + len(view)]


class DescriptorSource:
    """A regular file as plaintext, by its descriptor; `path` is for messages.

    Raises OcclumError SOURCE_CHANGED when it is none, when it gets shorter while it is read, or (in
    check_unchanged) when it was written to.
    """

    def __init__(self, descriptor: int, path: str | bytes | Path) -> None:
        self._file = SourceFile(descriptor, path, SOURCE_CHANGED)
        self.size = self._file.size
        self._path = path

    def read_into(self, view: memoryview, offset: int) -> None:
        with os_errors(self._path):  # and not what is written of it
            if not read_at(self._file.descriptor, view, offset):
                raise self._file.changed()

    def check_unchanged(self) -> None:
        """To be called after the last read."""
        self._file.check_unchanged()


class PfWriter:
    """Writes one protected file after the other, with one buffer of a group (388 KiB) for all."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(GROUP_NODES * NODE_SIZE))
        self._nodes = [
            self._buffer[start : start + NODE_SIZE]
            for start in range(0, GROUP_NODES * NODE_SIZE, NODE_SIZE)
        ]

    def write(self, path: str | Path, name: bytes, source: Source, sealer: Sealer) -> bytes:
        """Create `path` with clean file name `name`; the MAC of the file (16 bytes).

        Raises OcclumError `sefs-io` (also when `path` exists) and what `source` raises.
        """
        with opened(path, CREATE_FLAGS) as descriptor:
            return self.write_to(descriptor, name, source, sealer)

    def write_to(self, descriptor: int, name: bytes, source: Source, sealer: Sealer) -> bytes:
        """As `write`, to an open file that is empty; may raise OSError."""
        layout = Layout(source.size)
        entries = bytearray(ENTRY_SIZE * layout.mht_nodes)
        for mht in reversed(range(layout.mht_nodes)):
            entry = self._write_group(descriptor, mht, layout, source, sealer, entries)
            entries[mht * ENTRY_SIZE : (mht + 1) * ENTRY_SIZE] = entry
        root = bytes(entries[:ENTRY_SIZE].ljust(ENTRY_SIZE, b"\0"))
        node, mac = _metadata_node(name, source, root, sealer)
        write_at(descriptor, node, 0)
        return mac

    def _write_group(
        self,
        descriptor: int,
        mht: int,
        layout: Layout,
        source: Source,
        sealer: Sealer,
        mht_entries: bytearray,
    ) -> bytes:
        """Write MHT node `mht` and its data nodes; the entry of the MHT node."""
        count, number = layout.data_nodes_of(mht), mht_node_number(mht)
        start = INLINE_SIZE + mht * GROUP_SIZE
        end = NODE_SIZE + min(count * NODE_SIZE, layout.size - start)
        group_end = (1 + count) * NODE_SIZE
        source.read_into(self._buffer[NODE_SIZE:end], start)
        self._buffer[end:group_end] = bytes(group_end - end)
        data_entries = sealer.seal(self._nodes[1 : 1 + count], number + 1)
        first_child = (mht * CHILDREN_PER_MHT + 1) * ENTRY_SIZE
        children = mht_entries[first_child : first_child + CHILDREN_PER_MHT * ENTRY_SIZE]
        plaintext = data_entries.ljust(DATA_PER_MHT * ENTRY_SIZE, b"\0") + children
        self._nodes[0][:] = plaintext.ljust(NODE_SIZE, b"\0")
        entry = sealer.seal(self._nodes[:1], number)
        write_at(descriptor, self._buffer[:group_end], number * NODE_SIZE)
        return entry


def _metadata_node(
    name: bytes, source: Source, root_entry: bytes, sealer: Sealer
) -> tuple[bytes, bytes]:
    """Node 0 (4096 bytes) and the MAC in it."""
    inline = bytearray(min(source.size, INLINE_SIZE))
    source.read_into(memoryview(inline), 0)
    part = ENCRYPTED_PART.pack(
        clean_filename=name,
        size=source.size,
        mc_uuid=b"",
        mc_value=0,
        mht_key=root_entry[:KEY_SIZE],
        mht_gmac=root_entry[KEY_SIZE:],
        data=bytes(inline),
    )
    sealed = sealer.seal_metadata(part)
    plain = PLAIN_PART.pack(
        file_id=FILE_ID,
        major_version=MAJOR_VERSION,
        minor_version=MINOR_VERSION,
        meta_data_key_id=sealed.key_id,
        cpu_svn=b"",
        isv_svn=0,
        use_user_kdk_key=1,
        attribute_mask=b"",
        meta_data_gmac=sealed.mac,
        update_flag=0,
        integrity_only=int(sealer.integrity_only),
    )
    return (plain + sealed.part).ljust(NODE_SIZE, b"\0"), sealed.mac
