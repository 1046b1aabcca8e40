"""The other manifests of an OCI layout: what refers to the image is checked as far as it can be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.handles import DirectoryHandles
from occlum_build.files.shape import AnyOf
from occlum_build.oci.layout import blob_path
from occlum_build.verify.blobs import check_blob, digest_of, document_of
from occlum_build.verify.manifests import MANIFEST_SHAPE, check_manifest, ref_of
from occlum_build.verify.rows import DIFFERS, Table

_TEXT = AnyOf((str, None))
_SUBJECT = {"digest": str, "size": int, "mediaType?": _TEXT}
_SHAPE = {**MANIFEST_SHAPE, "artifactType?": _TEXT, "subject": _SUBJECT}
_WHAT = "referrer"


def tell_others(
    folders: DirectoryHandles,
    others: Iterable[Mapping[str, Any]],
    image: Mapping[str, Any],
    table: Table,
) -> None:
    """Rows of the manifests beside the image, which are descriptors of the index.

    What refers to the image is there as its digests say, or differs. What it says, and what refers
    to no image or another one, is not looked into.
    """
    known: dict[str, tuple[str, int]] = {}
    for one in others:
        _tell_other(folders, one, image, table, known)


def _tell_other(
    folders: DirectoryHandles,
    one: Mapping[str, Any],
    image: Mapping[str, Any],
    table: Table,
    known: dict[str, tuple[str, int]],
) -> None:
    found, path = Table(), blob_path(digest_of(one))
    if not check_blob(folders, one, "another manifest", found, known):
        table.rows += [row for row in found.rows if row.status == DIFFERS]
        return
    try:
        manifest = document_of(folders, path, _SHAPE)
    except OcclumError:
        manifest = None
    if manifest is None or manifest["subject"]["digest"] != image["digest"]:
        name = ref_of(one)
        note = "not looked into" if name is None else f"not looked into: {name}"
        table.unknown(path, "another manifest", note, stated=str(one["digest"]))
        return
    try:
        check_manifest(manifest, one, path)
        _check_referrer(folders, one, manifest, image, table, known)
    except OcclumError as error:
        table.failed(path, _WHAT, error)


def _check_referrer(
    folders: DirectoryHandles,
    one: Mapping[str, Any],
    manifest: Mapping[str, Any],
    image: Mapping[str, Any],
    table: Table,
    known: dict[str, tuple[str, int]],
) -> None:
    path, subject, found = blob_path(digest_of(one)), manifest["subject"], Table()
    found.compare(path, f"{_WHAT}, bytes of the subject", subject["size"], image["size"])
    for key, stated, due in (("mediaType", subject, image), ("artifactType", manifest, one)):
        if stated.get(key) and due.get(key):
            found.compare(path, f"{_WHAT}, {key}", stated[key], due[key])
    for number, blob in enumerate((manifest["config"], *manifest["layers"])):
        what = f"{_WHAT}, {f'file {number}' if number else 'config'}"
        check_blob(folders, blob, what, found, known)
    wrong = [row for row in found.rows if row.status == DIFFERS]
    table.some(wrong)
    if not wrong:
        table.agrees(path, f"{_WHAT}, subject", str(image["digest"]))
    kind = one.get("artifactType") or manifest.get("artifactType") or "of no type"
    table.unknown(path, f"{_WHAT}, content", f"what it says is not checked: {kind}")
