"""Writes the tree of an image to a directory (docs/sefs-format.md, 5)."""

from __future__ import annotations

import os
from pathlib import Path

from occlum_build.sefs.fs_format import PERMISSION_BITS, FileType
from occlum_build.sefs.hostio import CREATE_FLAGS, changing, opened, os_errors, write_at
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.reader import ImageEntry, ImageReader


def unzip_image(
    image: Path, target: Path, user_key: UserKey | None = None, *, mac: bytes | None = None
) -> int:
    """Write the tree of `image` as the new directory `target`; the number of entries written.

    Nothing is written outside of `target`: it is a fresh directory, each name is one component and
    unique in its directory, files are created and never opened, and no link is followed. Nothing
    is left behind after an error. Raises OcclumError: `sefs-exists`, those of ImageReader.
    """
    with changing(target) as change, ImageReader(image, user_key, mac=mac) as reader:
        root = change.part(target, must_be_new=True)
        root.mkdir()
        root_path = os.fsencode(root)
        directories = []
        count = 0
        for entry in reader.walk():
            path = os.path.join(root_path, entry.path) if entry.path else root_path
            _write_entry(reader, entry, path)
            if entry.inode.type == FileType.DIR:
                directories.append((path, entry.inode.mode & PERMISSION_BITS))
            count += 1
        # Last, and children first: a directory without write or search permission can be filled.
        for path, mode in reversed(directories):
            with os_errors(path):
                os.chmod(path, mode)
        return count


def _write_entry(reader: ImageReader, entry: ImageEntry, path: bytes) -> None:
    if entry.inode.type == FileType.FILE:
        content = reader.open(entry.number, entry.inode)
        with content, opened(path, CREATE_FLAGS, 0o600) as descriptor:
            offset = 0
            for chunk in content.chunks():
                write_at(descriptor, chunk, offset)
                offset += len(chunk)
            os.fchmod(descriptor, entry.inode.mode & PERMISSION_BITS)
    elif entry.inode.type == FileType.SYMLINK:
        target = reader.link_target(entry.number, entry.inode)
        with os_errors(path):
            os.symlink(target, path)
    elif entry.path:
        with os_errors(path):
            os.mkdir(path, 0o700)
