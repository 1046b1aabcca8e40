"""An OCI image layout: its documents, digests and layers, and the instance that these hold."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files import tar_reader
from occlum_build.files.bounds import shown_bytes
from occlum_build.files.compressed import BadArchive, NeedsPackage, damage_told, decompressed
from occlum_build.oci.layout import blob_path
from occlum_build.oci.rootfs import INSTANCE_PATH
from occlum_build.oci.settings import ARGS, VARIABLES
from occlum_build.verify.blobs import blob_of, check_blob, digest_of, document_of, layout_folders
from occlum_build.verify.files import CODE, Files
from occlum_build.verify.manifests import (
    CONFIG_SHAPE,
    INDEX_SHAPE,
    MANIFEST_SHAPE,
    check_index,
    check_manifest,
    chosen_of,
)
from occlum_build.verify.members import Merged, check_names, instances_in, opened, unpack
from occlum_build.verify.referrers import tell_others
from occlum_build.verify.rows import Table

INDEX, LAYOUT = "index.json", "oci-layout"
MRENCLAVE_LABEL, IMAGE_LABEL = "io.occlum.mrenclave", "io.occlum.image-digest"
MAX_LAYERS = 512
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
    with layout_folders(layout) as folders:
        index = document_of(folders, INDEX, INDEX_SHAPE)
        check_index(index, INDEX)
        chosen = chosen_of(index["manifests"], ref)
        others = [one for one in index["manifests"] if one is not chosen]
        tell_others(folders, others, chosen, table)
        manifest = blob_of(folders, chosen, "manifest", MANIFEST_SHAPE, table)
        if manifest is None:
            return Image(None, {})
        check_manifest(manifest, chosen, "manifest")
        config = blob_of(folders, manifest["config"], "configuration", CONFIG_SHAPE, table)
        layers = manifest["layers"]
        if len(layers) > MAX_LAYERS:
            raise OcclumError(CODE, f"the image has more than {MAX_LAYERS} layers")
        checked = [
            check_blob(folders, layer, f"layer {number}", table)
            for number, layer in enumerate(layers, 1)
        ]
    paths = [layout / blob_path(digest_of(layer)) for layer in layers]
    if config is None or not all(checked):
        return Image(None, {})
    labels = (config.get("config") or {}).get("Labels") or {}
    if not _check_diff_ids(paths, config["rootfs"]["diff_ids"], table):
        return Image(None, labels)
    return Image(_instance(paths, config, out, table), labels)


def _check_diff_ids(layers: Sequence[Path], stated: Sequence[str], table: Table) -> bool:
    """Rows of the archives in the layers, which together hold no more than one archive may."""
    if not table.compare("configuration", "number of layers", len(stated), len(layers)):
        return False
    left, is_right = tar_reader.MAX_BYTES, True
    for number, (path, diff_id) in enumerate(zip(layers, stated), 1):
        try:
            found, size = _diff_id(path, left)
        except OcclumError as error:
            if isinstance(error.__cause__, NeedsPackage):  # of the layer nothing is known
                raise
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
        hint = "" if found else "of a plain image `diff` compares the layers with a manifest"
        raise OcclumError(
            CODE, f"the layers of the image hold {what} with a signed enclave", hint=hint
        )
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
