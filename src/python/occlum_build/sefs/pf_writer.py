"""Writes protected files (docs/sefs-format.md, 3) in constant memory and one pass.

The groups (an MHT node and its up to 96 data nodes, adjacent in the file) need nothing of one
another, but that an MHT node has the entries of its children, of which one in 32 has any: of those
the entries are kept, and their MHT nodes are written last, from the last to the first. So the
plaintext is read in order and once, and several processes can write groups of one file. What grows
is some 130 bytes a group, 350 KiB for 1 GiB.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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

if TYPE_CHECKING:
    from hashlib import _Hash

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
    """Writes one protected file after the other, with one buffer (392 KiB) for all.

    Files begin `start` bytes into the open file that they are written to, of which nothing else is
    touched. What writes may raise OSError, and what `source` raises.
    """

    def __init__(self) -> None:
        # Node 0 and a group, which together are a small file.
        self._buffer = memoryview(bytearray((1 + GROUP_NODES) * NODE_SIZE))
        self._nodes = [
            self._buffer[start : start + NODE_SIZE]
            for start in range(NODE_SIZE, len(self._buffer), NODE_SIZE)
        ]

    def write(self, path: str | Path, name: bytes, source: Source, sealer: Sealer) -> bytes:
        """Create `path` with clean file name `name`; the MAC of the file (16 bytes).

        Raises OcclumError `sefs-io` (also when `path` exists) and what `source` raises.
        """
        with opened(path, CREATE_FLAGS) as descriptor:
            return self.write_to(descriptor, name, source, sealer)

    def write_to(
        self,
        descriptor: int,
        name: bytes,
        source: Source,
        sealer: Sealer,
        *,
        start: int = 0,
        hasher: _Hash | None = None,
    ) -> bytes:
        """As `write`, to an open file; `hasher` gets what is written, which it reads if need be."""
        layout = Layout(source.size)
        inline = inline_data(source)
        if layout.mht_nodes > 1:
            groups = self.write_groups(
                descriptor, range(layout.mht_nodes), source, sealer, start=start
            )
            mac = self.finish(descriptor, name, source.size, inline, groups, sealer, start=start)
            if hasher is not None:
                self._read(descriptor, start, layout.host_length, hasher)
            return mac
        root = b""
        if layout.mht_nodes:
            root = self._seal_mht(0, self._seal_data(0, layout, source, sealer), b"", sealer)
        mac = self._seal_metadata(name, source.size, inline, root, sealer)
        written = self._buffer[: layout.host_length]
        write_at(descriptor, written, start)
        if hasher is not None:
            hasher.update(written)
        return mac

    def write_groups(
        self, descriptor: int, mhts: range, source: Source, sealer: Sealer, *, start: int = 0
    ) -> list[bytes]:
        """Write the groups of these MHT nodes, but no MHT node that has children.

        Of each group it gives what `finish` needs: the entry of its MHT node or, where that has
        children, those of its data nodes.
        """
        layout = Layout(source.size)
        found = []
        for mht in mhts:
            entries = self._seal_data(mht, layout, source, sealer)
            place = start + mht_node_number(mht) * NODE_SIZE
            end = (2 + layout.data_nodes_of(mht)) * NODE_SIZE
            if mht < layout.mht_nodes_with_children:
                write_at(descriptor, self._buffer[2 * NODE_SIZE : end], place + NODE_SIZE)
            else:
                entries = self._seal_mht(mht, entries, b"", sealer)
                write_at(descriptor, self._buffer[NODE_SIZE:end], place)
            found.append(entries)
        return found

    def finish(
        self,
        descriptor: int,
        name: bytes,
        size: int,
        inline: bytes,
        groups: Sequence[bytes],
        sealer: Sealer,
        *,
        start: int = 0,
    ) -> bytes:
        """Write what is left when all groups are written; the MAC of the file.

        `size` is that of the plaintext, of which `inline` are the first bytes.
        """
        entries = bytearray().join(group.ljust(ENTRY_SIZE)[:ENTRY_SIZE] for group in groups)
        for mht in reversed(range(Layout(size).mht_nodes_with_children)):
            first = (mht * CHILDREN_PER_MHT + 1) * ENTRY_SIZE
            children = bytes(entries[first : first + CHILDREN_PER_MHT * ENTRY_SIZE])
            entry = self._seal_mht(mht, groups[mht], children, sealer)
            write_at(descriptor, self._nodes[0], start + mht_node_number(mht) * NODE_SIZE)
            entries[mht * ENTRY_SIZE : (mht + 1) * ENTRY_SIZE] = entry
        mac = self._seal_metadata(name, size, inline, bytes(entries[:ENTRY_SIZE]), sealer)
        write_at(descriptor, self._buffer[:NODE_SIZE], start)
        return mac

    def _seal_data(self, mht: int, layout: Layout, source: Source, sealer: Sealer) -> bytes:
        """Put the data nodes of MHT node `mht` behind it in the buffer; their entries."""
        count = layout.data_nodes_of(mht)
        start = INLINE_SIZE + mht * GROUP_SIZE
        end = 2 * NODE_SIZE + min(count * NODE_SIZE, layout.size - start)
        group_end = (2 + count) * NODE_SIZE
        source.read_into(self._buffer[2 * NODE_SIZE : end], start)
        self._buffer[end:group_end] = bytes(group_end - end)
        return sealer.seal(self._nodes[1 : 1 + count], mht_node_number(mht) + 1)

    def _seal_mht(self, mht: int, entries: bytes, children: bytes, sealer: Sealer) -> bytes:
        """Put an MHT node into the buffer; its entry."""
        plaintext = entries.ljust(DATA_PER_MHT * ENTRY_SIZE, b"\0") + children
        self._nodes[0][:] = plaintext.ljust(NODE_SIZE, b"\0")
        return sealer.seal(self._nodes[:1], mht_node_number(mht))

    def _seal_metadata(
        self, name: bytes, size: int, inline: bytes, root_entry: bytes, sealer: Sealer
    ) -> bytes:
        """Put node 0 into the buffer; the MAC in it."""
        node, mac = _metadata_node(name, size, inline, root_entry.ljust(ENTRY_SIZE, b"\0"), sealer)
        self._buffer[:NODE_SIZE] = node
        return mac

    def _read(self, descriptor: int, start: int, size: int, hasher: _Hash) -> None:
        end = start + size
        while start < end:
            view = self._buffer[: min(end - start, len(self._buffer))]
            if not read_at(descriptor, view, start):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            hasher.update(view)
            start += len(view)


def inline_data(source: Source) -> bytes:
    """The first bytes of a plaintext, which are in node 0."""
    inline = bytearray(min(source.size, INLINE_SIZE))
    source.read_into(memoryview(inline), 0)
    return bytes(inline)


def _metadata_node(
    name: bytes, size: int, inline: bytes, root_entry: bytes, sealer: Sealer
) -> tuple[bytes, bytes]:
    """Node 0 (4096 bytes) and the MAC in it."""
    part = ENCRYPTED_PART.pack(
        clean_filename=name,
        size=size,
        mc_uuid=b"",
        mc_value=0,
        mht_key=root_entry[:KEY_SIZE],
        mht_gmac=root_entry[KEY_SIZE:],
        data=inline,
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
