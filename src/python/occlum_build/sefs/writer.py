"""Writes an image of a directory tree (docs/sefs-format.md, 4.5 and 4.6)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from occlum_build.errors import Problem
from occlum_build.files.shared_work import Numbers, share_work
from occlum_build.files.source import Identity, changed, identity_of, open_source
from occlum_build.sefs.fs_format import (
    METADATA_NAME,
    FileType,
    Inode,
    disk_filename,
    pack_directory,
    pack_metadata,
)
from occlum_build.sefs.hostio import CREATE_FLAGS, WRITE_FLAGS, changing, opened, os_errors
from occlum_build.sefs.keys import DerivedKeys, KeySource, UserKey
from occlum_build.sefs.manifest import tree_digest
from occlum_build.sefs.pf_crypto import EncryptingSealer, IntegrityOnly, Sealer
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.pf_writer import (
    SOURCE_CHANGED,
    BytesSource,
    DescriptorSource,
    PfWriter,
    inline_data,
)
from occlum_build.sefs.shared_work import SHARED_BYTES, Work, shared_work, split_groups
from occlum_build.sefs.tree import Tree, TreeEntry, scan_tree


@dataclass(frozen=True)
class ZipResult:
    """`mac` of `metadata` (16 bytes), number of inodes with the root, plaintext bytes of all
    inodes, and what was left out of the image."""

    mac: bytes
    inodes: int
    content_bytes: int
    warnings: tuple[Problem, ...]


def zip_image(
    source: Path,
    image: Path,
    mac_file: Path | None = None,
    *,
    user_key: UserKey | None = None,
    modes: Mapping[str, int] | None = None,
    salt: bytes | None = None,
    keys: KeySource | None = None,
    planned: Mapping[bytes, Identity] | None = None,
) -> ZipResult:
    """Write the tree `source` as the new image `image`, and its MAC as text to `mac_file`.

    Without `user_key` the image is integrity-only. With it, node keys come from `keys`, by default
    derived from user key, content and `salt` (digest of the manifest; of the tree when None).
    `modes` as in scan_tree. `planned`: what files were when something else was made of them, by
    path. Nothing is left behind after an error. Raises OcclumError:
    `sefs-exists`, `sefs-source-changed`, those of scan_tree, `sefs-io`.
    """
    tree = scan_tree(source, modes)
    if user_key is not None and keys is None:
        keys = DerivedKeys(user_key, tree_digest(tree) if salt is None else salt)
    with changing(image, *filter(None, [mac_file])) as change:
        directory = change.part(image, must_be_new=True)
        directory.mkdir()
        builder = _ImageBuilder(tree, directory, user_key, keys, planned or {})
        mac = builder.write()
        if mac_file is not None:
            with os_errors(mac_file):
                change.write(mac_file, format_mac(mac).encode("ascii"))
    return ZipResult(mac, len(tree.entries), builder.content_bytes, tuple(tree.warnings))


def inode_of(tree: Tree, entry: TreeEntry, size: int, mac: bytes) -> Inode:
    """The inode of an entry whose protected file has so many bytes of content, and this MAC."""
    name = disk_filename(entry.inode)
    if entry.type is FileType.DIR:
        links = 2 + tree.subdirectories(entry.inode)
        blocks = 2 + len(tree.children[entry.inode])
        return Inode(0, entry.type, entry.mode, links, blocks, name, mac)
    return Inode(size, entry.type, entry.mode, 1, 0, name, mac)


def directory_content(tree: Tree, entry: TreeEntry) -> bytes:
    """The content of the protected file of a directory."""
    return pack_directory(entry.inode, entry.parent, tree.children[entry.inode])


_Written = tuple[int, bytes]  # bytes of content of an entry, and the MAC of its protected file
_WRITTEN = struct.Struct("<Q16s")


def _numbers_of(data: bytes) -> Numbers:
    """Bytes as another process tells them: sizes, MACs and keys are multiples of 8."""
    return struct.unpack(f"={len(data) // 8}q", data)


def _bytes_of(numbers: Numbers) -> bytes:
    return struct.pack(f"={len(numbers)}q", *numbers)


class _ImageBuilder:
    """Writes the protected files of one image into an empty directory."""

    def __init__(
        self,
        tree: Tree,
        directory: Path,
        user_key: UserKey | None,
        keys: KeySource | None,
        planned: Mapping[bytes, Identity],
    ) -> None:
        self._tree = tree
        self._planned = planned
        self._directory = str(directory)
        self._user_key = user_key
        self._keys = keys
        self._writer = PfWriter()
        self.content_bytes = 0

    def write(self) -> bytes:
        """All inodes, then `metadata`, which holds their MACs; the MAC of `metadata`."""
        entries, written = self._tree.entries, self._write_entries()
        self.content_bytes = sum(size for size, _ in written)
        inodes = [
            (entry.inode, inode_of(self._tree, entry, size, mac))
            for entry, (size, mac) in zip(entries, written)
        ]
        content = BytesSource(pack_metadata(inodes))
        path, name = f"{self._directory}/{METADATA_NAME}", METADATA_NAME.encode("ascii")
        return self._writer.write(path, name, content, self._sealer(name))

    def _write_entries(self) -> list[_Written]:
        """Size and MAC of each entry; where they are much, several processes write them."""
        entries, seen = self._tree.entries, self._tree.seen
        sizes = [seen[entry.path].size if entry.path in seen else 0 for entry in entries]
        if sum(sizes) < SHARED_BYTES:
            return [self._write_entry(entry) for entry in entries]
        work = shared_work(sizes)
        for one in work:
            if one.groups is not None and not one.groups.start:
                with opened(self._path(entries[one.start]), CREATE_FLAGS):
                    pass  # the groups of a large file are written to it in any order
        results = share_work(work, self._do, self._do_again)
        written: list[_Written] = []
        for start, done in groupby(zip(work, results), key=lambda one: one[0].start):
            found = list(done)
            if found[0][0].groups is None:
                written += _WRITTEN.iter_unpack(_bytes_of(found[0][1]))
            else:
                groups = b"".join(_bytes_of(numbers) for _, numbers in found)
                written.append(self._finish(entries[start], groups))
        return written

    def _do_again(self, work: Work) -> Numbers:
        """What another process may have begun."""
        if work.groups is None:
            for entry in self._tree.entries[work.start : work.end]:
                with suppress(FileNotFoundError):
                    os.unlink(self._path(entry))
        return self._do(work)

    def _do(self, work: Work) -> Numbers:
        """What one of several processes does."""
        entries = self._tree.entries[work.start : work.end]
        if work.groups is None:
            written = (_WRITTEN.pack(*self._write_entry(entry)) for entry in entries)
            return _numbers_of(b"".join(written))
        sealer, path = self._sealer(_name(entries[0])), self._path(entries[0])
        with self._source(entries[0]) as source, opened(path, WRITE_FLAGS) as descriptor:
            groups = self._writer.write_groups(descriptor, work.groups, source, sealer)
        return _numbers_of(b"".join(groups))

    def _finish(self, entry: TreeEntry, groups: bytes) -> _Written:
        """Complete a large file, of which all groups are written."""
        name = _name(entry)
        with self._source(entry) as source:
            inline = inline_data(source)
            with opened(self._path(entry), WRITE_FLAGS) as descriptor:
                mac = self._writer.finish(
                    descriptor,
                    name,
                    source.size,
                    inline,
                    split_groups(groups, source.size),
                    self._sealer(name),
                )
        return source.size, mac

    def _write_entry(self, entry: TreeEntry) -> _Written:
        if entry.type is FileType.FILE:
            with self._source(entry) as source:
                return self._write(entry, source)
        if entry.type is FileType.DIR:
            return self._write(entry, BytesSource(directory_content(self._tree, entry)))
        return self._write(entry, BytesSource(self._target(entry)))

    def _write(self, entry: TreeEntry, source: BytesSource | DescriptorSource) -> _Written:
        name = _name(entry)
        return source.size, self._writer.write(self._path(entry), name, source, self._sealer(name))

    def _sealer(self, name: bytes) -> Sealer:
        if self._user_key is None or self._keys is None:
            return IntegrityOnly()
        return EncryptingSealer(self._user_key, self._keys.for_file(name))

    def _path(self, entry: TreeEntry) -> str:
        return f"{self._directory}/{_name(entry).decode('ascii')}"

    @contextmanager
    def _source(self, entry: TreeEntry) -> Iterator[DescriptorSource]:
        """A regular file, for the body to read; it must not change until the end of that."""
        host_path = self._tree.host_path(entry)
        planned = self._planned.get(entry.path) or self._tree.seen[entry.path]
        with os_errors(host_path):
            file = open_source(host_path, code=SOURCE_CHANGED, planned=planned)
        with file:
            source = DescriptorSource(file.descriptor, host_path)
            yield source
            source.check_unchanged()

    def _target(self, entry: TreeEntry) -> bytes:
        host_path = self._tree.host_path(entry)
        with os_errors(host_path):
            target = os.readlink(host_path)
            if identity_of(os.lstat(host_path)) != self._tree.seen[entry.path]:
                raise changed(host_path, SOURCE_CHANGED)
        return target


def _name(entry: TreeEntry) -> bytes:
    """The name of the protected file of an entry."""
    return disk_filename(entry.inode).hex().encode("ascii")
