"""The blobs of an OCI layout by their digests: read within bounds, with no link on the way."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MIB
from occlum_build.files.handles import DirectoryHandles
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import READ_FLAGS, read_descriptor
from occlum_build.files.shape import check_shape
from occlum_build.oci.layout import blob_path
from occlum_build.verify.files import CODE
from occlum_build.verify.manifests import check_keys
from occlum_build.verify.rows import Table

_DOCUMENT_BYTES = 4 * MIB
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


def layout_folders(layout: Path) -> DirectoryHandles:
    """The directories of a layout, in which no link is followed. OcclumError `verify`."""
    try:
        return DirectoryHandles(os.path.realpath(layout))
    except OSError as error:
        message = error.strerror or "cannot be read"
        raise OcclumError(CODE, message, place=Place(str(layout))) from error


def _open(folders: DirectoryHandles, path: str) -> int:
    """A file of the layout, no link on the way; what it is, its reader finds out."""
    try:
        parent, name = folders.beside(path)
        return os.open(name, READ_FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise OcclumError(CODE, message, place=Place(path)) from error


def _content(folders: DirectoryHandles, path: str) -> bytes:
    descriptor = _open(folders, path)
    try:
        return read_descriptor(descriptor, path, _DOCUMENT_BYTES, code=CODE)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise OcclumError(CODE, message, place=Place(path)) from error
    finally:
        os.close(descriptor)


def document_of(folders: DirectoryHandles, path: str, shape: Any) -> Any:
    """A JSON document of a layout that has a shape. OcclumError `verify`."""
    value = load_json(_content(folders, path), path, code=CODE, is_unique=True)
    check_shape(value, shape, path, code=CODE)
    check_keys(value, shape, path)
    return value


def blob_of(
    folders: DirectoryHandles, descriptor: Mapping[str, Any], what: str, shape: Any, table: Table
) -> Any:
    """A document, and the row of its digest; None where it is not the one of the digest."""
    path = blob_path(digest_of(descriptor))
    if not check_blob(folders, descriptor, what, table):
        return None
    return document_of(folders, path, shape)


def digest_of(descriptor: Mapping[str, Any]) -> str:
    """The digest that a descriptor states. OcclumError `verify` for one that is none."""
    digest = str(descriptor["digest"])
    if not _DIGEST.fullmatch(digest):
        raise OcclumError(CODE, "a digest is not sha256: and 64 hexadecimal digits")
    return digest


def check_blob(
    folders: DirectoryHandles,
    descriptor: Mapping[str, Any],
    what: str,
    table: Table,
    known: dict[str, tuple[str, int]] | None = None,
) -> bool:
    """The row of a blob's digest, and one of its size where that is another.

    `known` keeps what was read, for blobs that many may name.
    """
    stated = digest_of(descriptor)
    path = blob_path(stated)
    known = {} if known is None else known
    try:
        if path not in known:
            known[path] = _hashed(folders, path)
        digest, size = known[path]
    except OcclumError as error:
        table.failed(path, what, error)
        return False
    is_right = table.compare(path, f"{what}, digest", stated, f"sha256:{digest}")
    if size != descriptor["size"]:
        return table.compare(path, f"{what}, bytes", descriptor["size"], size)
    return is_right


def _hashed(folders: DirectoryHandles, path: str) -> tuple[str, int]:
    """The hex SHA-256 and the size of a regular file."""
    descriptor, digest, size = _open(folders, path), hashlib.sha256(), 0
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OcclumError(CODE, "is not a regular file", place=Place(path))
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise OcclumError(CODE, message, place=Place(path)) from error
    finally:
        os.close(descriptor)
    return digest.hexdigest(), size
