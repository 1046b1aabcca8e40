"""An OCI image layout: its documents, digests and layers, and the instance that these hold."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError, Place
from occlum_build.files import tar_reader
from occlum_build.files.bounds import MIB, shown_bytes
from occlum_build.files.compressed import BadArchive, damage_told, decompressed
from occlum_build.files.handles import DirectoryHandles
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import READ_FLAGS, read_descriptor
from occlum_build.files.shape import check_shape
from occlum_build.oci.layout import blob_path
from occlum_build.oci.rootfs import INSTANCE_PATH
from occlum_build.oci.settings import ARGS, VARIABLES
from occlum_build.verify.files import CODE, Files
from occlum_build.verify.manifests import (
    CONFIG_SHAPE,
    INDEX_SHAPE,
    MANIFEST_SHAPE,
    check_index,
    check_keys,
    check_manifest,
    chosen_of,
    ref_of,
)
from occlum_build.verify.members import Merged, check_names, instances_in, opened, unpack
from occlum_build.verify.rows import DIFFERS, Table

INDEX, LAYOUT = "index.json", "oci-layout"
MRENCLAVE_LABEL, IMAGE_LABEL = "io.occlum.mrenclave", "io.occlum.image-digest"
MAX_LAYERS = 512
_DOCUMENT_BYTES = 4 * MIB
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Image:
    """The instance of an image, and what the image says of it in its labels.

    `files` is None where blobs are not as they ought to be: these are not looked into.
    """

    files: Files | None
    labels: Mapping[str, str]


def read_image(layout: Path, ref: str | None, out: Path, table: Table) -> Image:
    """Rows of a layout's blobs; the instance goes to the empty directory `out`.

    `ref` names the image where a layout has several. Raises OcclumError `verify` where there is no
    image to look at: blobs that are not as their digests say are rows.
    """
    with _folders(layout) as folders:
        index = _document(folders, INDEX, INDEX_SHAPE)
        check_index(index, INDEX)
        chosen = chosen_of(index["manifests"], ref)
        for one in index["manifests"]:
            if one is not chosen:
                _tell_other(folders, one, table)
        manifest = _blob(folders, chosen, "manifest", MANIFEST_SHAPE, table)
        if manifest is None:
            return Image(None, {})
        check_manifest(manifest, chosen, "manifest")
        config = _blob(folders, manifest["config"], "configuration", CONFIG_SHAPE, table)
        layers = manifest["layers"]
        if len(layers) > MAX_LAYERS:
            raise OcclumError(CODE, f"the image has more than {MAX_LAYERS} layers")
        checked = [
            _check_blob(folders, layer, f"layer {number}", table)
            for number, layer in enumerate(layers, 1)
        ]
    paths = [layout / blob_path(_digest_of(layer)) for layer in layers]
    if config is None or not all(checked):
        return Image(None, {})
    labels = (config.get("config") or {}).get("Labels") or {}
    if not _check_diff_ids(paths, config["rootfs"]["diff_ids"], table):
        return Image(None, labels)
    return Image(_instance(paths, config, out, table), labels)


def _tell_other(folders: DirectoryHandles, one: Mapping[str, Any], table: Table) -> None:
    """A manifest that is not looked into differs where it is not the one of its digest."""
    found = Table()
    path = blob_path(_digest_of(one))
    if not _check_blob(folders, one, "another manifest", found):
        table.rows += [row for row in found.rows if row.status == DIFFERS]
        return
    name = ref_of(one)
    note = "not looked into" if name is None else f"not looked into: {name}"
    table.unknown(path, "another manifest", note, stated=str(one["digest"]))


def _folders(layout: Path) -> DirectoryHandles:
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


def _document(folders: DirectoryHandles, path: str, shape: Any) -> Any:
    value = load_json(_content(folders, path), path, code=CODE, is_unique=True)
    check_shape(value, shape, path, code=CODE)
    check_keys(value, shape, path)
    return value


def _blob(
    folders: DirectoryHandles, descriptor: Mapping[str, Any], what: str, shape: Any, table: Table
) -> Any:
    """A document, and the row of its digest; None where it is not the one of the digest."""
    path = blob_path(_digest_of(descriptor))
    if not _check_blob(folders, descriptor, what, table):
        return None
    return _document(folders, path, shape)


def _digest_of(descriptor: Mapping[str, Any]) -> str:
    digest = str(descriptor["digest"])
    if not _DIGEST.fullmatch(digest):
        raise OcclumError(CODE, "a digest is not sha256: and 64 hexadecimal digits")
    return digest


def _check_blob(
    folders: DirectoryHandles, descriptor: Mapping[str, Any], what: str, table: Table
) -> bool:
    """The row of a blob's digest, and one of its size where that is another."""
    stated = _digest_of(descriptor)
    path = blob_path(stated)
    try:
        digest, size = _hashed(folders, path)
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


def _check_diff_ids(layers: Sequence[Path], stated: Sequence[str], table: Table) -> bool:
    """Rows of the archives in the layers, which together hold no more than one archive may."""
    if not table.compare("configuration", "number of layers", len(stated), len(layers)):
        return False
    left, is_right = tar_reader.MAX_BYTES, True
    for number, (path, diff_id) in enumerate(zip(layers, stated), 1):
        try:
            found, size = _diff_id(path, left)
        except OcclumError as error:
            table.failed(f"layer {number}", "diff_id", error)
            return False
        left -= size
        is_right &= table.compare(f"layer {number}", "diff_id", diff_id, found)
    return is_right


def _diff_id(path: Path, limit: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with opened(path) as stream, damage_told(), decompressed(stream) as unpacked:
        while chunk := unpacked.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                most = shown_bytes(tar_reader.MAX_BYTES)
                raise BadArchive(f"the layers hold more than {most}")
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}", size


def _instance(paths: Sequence[Path], config: Mapping[str, Any], out: Path, table: Table) -> Files:
    merged = Merged()
    found: set[str] = set()
    for path in paths:
        with opened(path) as stream:
            members = tar_reader.members_of(stream)
        found |= instances_in(members)
        merged.add(members, is_layer=True)
    named = _named(config.get("config") or {})
    if named not in found and len(found) != 1:
        what = "no instance" if not found else "more than one instance"
        raise OcclumError(CODE, f"the layers of the image hold {what} with a signed enclave")
    (place,) = {named} if named in found else found
    table.compare("configuration", "instance that it names", f"/{named}", f"/{place}")
    check_names(merged, place, table, "layers")
    return unpack(paths, merged, place, out)


def _named(run: Mapping[str, Any]) -> str:
    """Where the configuration has a runtime look for the instance."""
    prefix = f"{VARIABLES[ARGS]}="
    args = [one[len(prefix) :] for one in run.get("Env") or () if one.startswith(prefix)]
    if not args:
        return INSTANCE_PATH
    folder = str(run.get("WorkingDir") or "/")
    return posixpath.normpath(posixpath.join("/", folder, args[-1])).lstrip("/")


def check_labels(labels: Mapping[str, str], mrenclave: str, table: Table) -> None:
    """Rows of the labels that say which enclave is in an image."""
    if MRENCLAVE_LABEL in labels:
        label = f"label {MRENCLAVE_LABEL}"
        table.compare("configuration", label, labels[MRENCLAVE_LABEL], mrenclave)
