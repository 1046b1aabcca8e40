"""Writes an image of a directory tree (docs/sefs-format.md, 4.5 and 4.6)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from occlum_build.errors import Problem
from occlum_build.files.source import Identity, changed, identity_of, open_source
from occlum_build.sefs.fs_format import (
    METADATA_NAME,
    FileType,
    Inode,
    disk_filename,
    pack_directory,
    pack_metadata,
)
from occlum_build.sefs.hostio import (
    changing,
    os_errors,
)
from occlum_build.sefs.keys import DerivedKeys, KeySource, UserKey
from occlum_build.sefs.manifest import tree_digest
from occlum_build.sefs.pf_crypto import EncryptingSealer, IntegrityOnly, Sealer
from occlum_build.sefs.pf_format import format_mac
from occlum_build.sefs.pf_writer import SOURCE_CHANGED, BytesSource, DescriptorSource, PfWriter
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
        inodes = [(entry.inode, self._write_inode(entry)) for entry in self._tree.entries]
        content = BytesSource(pack_metadata(inodes))
        path, name = f"{self._directory}/{METADATA_NAME}", METADATA_NAME.encode("ascii")
        return self._writer.write(path, name, content, self._sealer(name))

    def _sealer(self, name: bytes) -> Sealer:
        if self._user_key is None or self._keys is None:
            return IntegrityOnly()
        return EncryptingSealer(self._user_key, self._keys.for_file(name))

    def _write_inode(self, entry: TreeEntry) -> Inode:
        name = disk_filename(entry.inode)
        if entry.type is FileType.FILE:
            size, mac = self._write_file(name, self._tree.host_path(entry), entry.path)
        elif entry.type is FileType.DIR:
            size, mac = self._write_bytes(name, directory_content(self._tree, entry))
        else:
            size, mac = self._write_bytes(name, self._target(entry))
        return inode_of(self._tree, entry, size, mac)

    def _target(self, entry: TreeEntry) -> bytes:
        host_path = self._tree.host_path(entry)
        with os_errors(host_path):
            target = os.readlink(host_path)
            if identity_of(os.lstat(host_path)) != self._tree.seen[entry.path]:
                raise changed(host_path, SOURCE_CHANGED)
        return target

    def _write_bytes(self, name: bytes, content: bytes) -> tuple[int, bytes]:
        return self._write(name, BytesSource(content))

    def _write_file(self, name: bytes, host_path: bytes, path: bytes) -> tuple[int, bytes]:
        planned = self._planned.get(path) or self._tree.seen[path]
        with os_errors(host_path):
            file = open_source(host_path, code=SOURCE_CHANGED, planned=planned)
        with file:
            source = DescriptorSource(file.descriptor, host_path)
            written = self._write(name, source)
            source.check_unchanged()
        return written

    def _write(self, name: bytes, source: BytesSource | DescriptorSource) -> tuple[int, bytes]:
        hex_name = name.hex()
        sealer = self._sealer(hex_name.encode("ascii"))
        path = f"{self._directory}/{hex_name}"
        mac = self._writer.write(path, hex_name.encode("ascii"), source, sealer)
        self.content_bytes += source.size
        return source.size, mac
