"""The entries of an image in an OCI layout, found in its layers, and the identities in its labels.

Formats: image specification 1.0, config.md, manifest.md and layer.md.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from occlum_build.errors import OcclumError, Place
from occlum_build.files.bounds import MANIFEST_BYTES
from occlum_build.files.compressed import BadArchive
from occlum_build.files.json_text import load_json
from occlum_build.files.reading import chunks_of, open_regular, read_file
from occlum_build.files.shape import AnyOf, ListOf, check_shape
from occlum_build.files.tar_reader import HARD_LINK, MAX_MEMBERS, Member, entries_of
from occlum_build.oci.layout import blob_path
from occlum_build.oci.referrers import images_of
from occlum_build.oci.whiteouts import WHITEOUT_PREFIX
from occlum_build.report.model import DIR, FILE, SYMLINK, Item
from occlum_build.report.sides import Side

CODE = "oci"
_DESCRIPTOR = {"digest": str}
_INDEX = {"manifests": ListOf({**_DESCRIPTOR, "artifactType?": AnyOf((str, None))})}
_MANIFEST = {"layers": ListOf(_DESCRIPTOR)}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def read_layout(path: Path) -> Side:
    """The one image of a layout: its layers one on the other, as they would be unpacked.

    Images of ours take nothing away that a layer below has, so that a layer which does is refused.
    Raises OcclumError `oci` for a layout that is none, has several images, a damaged layer, or a
    blob with another content than its digest says.
    """
    index = _document(path / "index.json", _INDEX)
    images = images_of(index["manifests"])
    if len(images) != 1:
        message = f"it has {len(images)} images, not one"
        raise OcclumError(CODE, message, place=Place(str(path / "index.json")))
    manifest = _document(_blob(path, images[0]["digest"]), _MANIFEST)
    items: dict[str, Item] = {"/": Item("/", DIR, 0o755)}
    for layer in manifest["layers"]:
        blob = _blob(path, layer["digest"])
        try:
            _apply(blob, items)
        except BadArchive as error:
            place = Place(str(blob))
            raise OcclumError(CODE, f"a layer cannot be read: {error}", place=place) from None
    return Side(str(path), items=dict(sorted(items.items())))


def _apply(blob: Path, items: dict[str, Item]) -> None:
    descriptor = open_regular(blob, code=CODE)
    with open(descriptor, "rb") as stream:
        for member, chunks in entries_of(stream):
            path = _path(member.name)
            if posixpath.basename(path).startswith(WHITEOUT_PREFIX):
                raise BadArchive(f"{path} takes away what a layer below has")
            if path == "/" and member.kind != DIR:
                raise BadArchive(f"/ is a {member.kind}")
            if len(items) >= MAX_MEMBERS:
                raise BadArchive(f"the layers have more than {MAX_MEMBERS:,} entries")
            items[path] = _item(path, member, chunks, items)


def _path(name: str) -> str:
    return posixpath.normpath(f"/{name.lstrip('/')}")


def _item(path: str, member: Member, chunks: Iterable[bytes], items: dict[str, Item]) -> Item:
    if member.kind == DIR:
        return Item(path, DIR, member.mode)
    if member.kind == SYMLINK:
        return Item(path, SYMLINK, 0o777, target=member.link)
    if member.kind == HARD_LINK:
        linked = items.get(_path(member.link))
        if linked is not None:
            return linked._replace(path=path)
    if member.kind != FILE:
        raise BadArchive(f"{path} is a {member.kind}, which no image of ours has")
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return Item(path, FILE, member.mode, member.size, found.hexdigest())


def _blob(path: Path, digest: str) -> Path:
    """Where it is, and that it is what its digest says."""
    if not _DIGEST.fullmatch(digest):
        raise OcclumError(CODE, f"{digest!r} is no SHA-256 digest", place=Place(str(path)))
    blob, found = path / blob_path(digest), hashlib.sha256()
    for chunk in chunks_of(blob, code=CODE):
        found.update(chunk)
    if digest != f"sha256:{found.hexdigest()}":
        message = "it has another content than its digest says"
        raise OcclumError(CODE, message, place=Place(str(blob)), hint="make the layout anew")
    return blob


def _document(path: Path, shape: Any) -> Any:
    value = load_json(read_file(path, MANIFEST_BYTES, code=CODE), str(path), code=CODE)
    check_shape(value, shape, str(path), code=CODE)
    return value
