"""Checks everything that can be checked of an image (docs/sefs-format.md, 6)."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from occlum_build.errors import OcclumError, Report
from occlum_build.sefs.fs_format import (
    BLOCK_SIZE,
    BLOCKS_PER_GROUP,
    METADATA_NAME,
    FileType,
    by_group,
    freemap,
    metadata_length,
    superblock_of,
)
from occlum_build.sefs.hostio import os_errors, place_of
from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.pf_reader import PfReader
from occlum_build.sefs.reader import ImageEntry, ImageReader

# An entry of a tree, and the hex SHA-256 of a file or the target of a link.
Tell = Callable[[ImageEntry, str], None]
_RECOVERY_SUFFIX = "_recovery"


@dataclass(frozen=True)
class VerifyResult:
    """`mac` of `metadata` (16 bytes), inodes and plaintext bytes checked, and what is wrong."""

    mac: bytes
    inodes: int
    content_bytes: int
    report: Report


def verify_image(
    image: Path,
    user_key: UserKey | None = None,
    *,
    mac: bytes | None = None,
    tell: Tell | None = None,
) -> VerifyResult:
    """Check every node of every file, the tree, the inode table and the names in the directory.

    `mac` is what the MAC of the image must be; None checks only that the image is whole. `tell` is
    called for each entry that is whole. All findings are collected in `report`; raises OcclumError
    when `metadata` cannot be read at all.
    """
    report = Report()
    with ImageReader(image, user_key, mac=mac) as reader:
        reader.metadata.check_all()
        entries = list(reader.walk(lambda error: report.errors.extend(error.problems)))
        tree_is_whole = not report.errors
        content_bytes = sum(_check_content(reader, entry, report, tell) for entry in entries)
        if tree_is_whole:
            _check_allocation(reader, sorted(entry.number for entry in entries), report)
        known = {entry.inode.disk_filename.hex() for entry in entries} | {METADATA_NAME}
        _check_directory(image, known, tree_is_whole, report)
        return VerifyResult(reader.metadata.mac, len(entries), content_bytes, report)


def _check_content(
    reader: ImageReader, entry: ImageEntry, report: Report, tell: Tell | None
) -> int:
    """Check all nodes of a file or symlink; the walk has done it for directories."""
    content = ""
    try:
        if entry.inode.type == FileType.SYMLINK:
            target = reader.link_target(entry.number, entry.inode)
            content = target.decode("utf-8", "backslashreplace")
        elif entry.inode.type == FileType.FILE:
            with reader.open(entry.number, entry.inode) as file:
                content = _checked(file, is_hashed=tell is not None)
    except OcclumError as error:
        report.errors.extend(reader.in_image(error, entry.path).problems)
    else:
        if tell is not None:
            tell(entry, content)
    return entry.inode.size


def _checked(file: PfReader, *, is_hashed: bool) -> str:
    """Check all nodes; the hex SHA-256 of the content where that is asked for."""
    if not is_hashed:
        file.check_all()
        return ""
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()


def _check_allocation(reader: ImageReader, inodes: list[int], report: Report) -> None:
    """Superblock, freemaps and length of `metadata` must be those of exactly these inodes."""
    place = place_of(reader.metadata.path)
    expected = superblock_of(inodes)
    if reader.superblock != expected:
        message = f"the superblock is {reader.superblock}, the tree asks for {expected}"
        report.error("sefs-superblock", message, place)
    length = metadata_length(inodes[-1])
    if reader.metadata.size != length:
        message = f"has {reader.metadata.size} plaintext bytes, the inodes ask for {length}"
        report.error("sefs-superblock", message, place)
        return
    for group, members in by_group(inodes).items():
        stored = reader.metadata.read(BLOCK_SIZE * (BLOCKS_PER_GROUP * group + 1), BLOCK_SIZE)
        difference = int.from_bytes(stored, "little") ^ int.from_bytes(
            freemap(group, members), "little"
        )
        if difference:
            number = BLOCKS_PER_GROUP * group + (difference & -difference).bit_length() - 1
            state = (
                "free, but is in the tree" if number in members else "used, but is not in the tree"
            )
            report.error("sefs-freemap", f"inode {number} is marked {state}", place)


def _check_directory(image: Path, known: set[str], tree_is_whole: bool, report: Report) -> None:
    """Every file on disk must be `metadata` or belong to an inode."""
    with os_errors(image), os.scandir(image) as found:
        for item in sorted(found, key=lambda item: item.name):
            place = place_of(item.path)
            if item.name.endswith(_RECOVERY_SUFFIX):
                message = "a recovery file: the image was written to and the writer crashed"
                report.error("sefs-recovery-file", message, place)
            elif item.name not in known and tree_is_whole:
                report.error("sefs-unknown-file", "does not belong to the image", place)
            elif not item.is_file(follow_symlinks=False):
                report.error("sefs-unknown-file", "is not a regular file", place)
