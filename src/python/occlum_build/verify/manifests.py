"""Index and manifest of an OCI layout: which image is meant, and that all read the same in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from occlum_build.errors import OcclumError, Place
from occlum_build.files.shape import AnyOf, ListOf, MapOf
from occlum_build.oci.layout import REF_NAME
from occlum_build.oci.referrers import images_of
from occlum_build.verify.files import CODE

_INDEX_TYPES = ("index", "manifest.list")
_MANIFEST_TYPES = ("manifest.v1", "manifest.v2")
_OF_INDEX, _OF_MANIFEST = ("manifests",), ("layers", "config", "fsLayers")
# null is as missing
_TEXT, _TEXTS, _LINES = (AnyOf((one, None)) for one in (str, MapOf(str), ListOf(str)))
_DESCRIPTOR = {"digest": str, "size": int, "mediaType?": _TEXT, "annotations?": _TEXTS}
INDEX_SHAPE = {
    "mediaType?": _TEXT,
    "manifests": ListOf({**_DESCRIPTOR, "artifactType?": _TEXT}),
}
MANIFEST_SHAPE = {"mediaType?": _TEXT, "config": _DESCRIPTOR, "layers": ListOf(_DESCRIPTOR)}
_RUN_SHAPE = {"Env?": _LINES, "WorkingDir?": _TEXT, "Labels?": _TEXTS}
CONFIG_SHAPE = {"config?": AnyOf((_RUN_SHAPE, None)), "rootfs": {"diff_ids": ListOf(str)}}


def check_keys(value: Any, shape: Any, name: str) -> None:
    """Refuse keys that are those of a shape but for their case: programs in Go take them for these.

    `value` has the shape; OcclumError `verify`.
    """
    pending = [(value, shape)]
    while pending:
        one, its_shape = pending.pop()
        if isinstance(its_shape, AnyOf):
            its_shape = its_shape.shapes[0]
        if isinstance(its_shape, ListOf):
            pending += [(item, its_shape.item) for item in one or ()]
        elif isinstance(its_shape, Mapping) and one is not None:
            known = {key.rstrip("?"): below for key, below in its_shape.items()}
            _check_case(one, {*known, *_OF_INDEX, *_OF_MANIFEST}, name)
            pending += [(one[key], below) for key, below in known.items() if key in one]


def _check_case(value: Mapping[str, Any], known: Collection[str], name: str) -> None:
    folded = {key.casefold() for key in known}
    for key in value:
        if key not in known and key.casefold() in folded:
            message = f"it may be read as something else: it has {key[:80]!r}"
            raise OcclumError(CODE, message, place=Place(name))


def check_index(index: Mapping[str, Any], name: str) -> None:
    """Refuse an index that some read as a manifest (CVE-2021-41190). OcclumError `verify`."""
    _check_kind(index, name, _OF_MANIFEST, _MANIFEST_TYPES)


def check_manifest(manifest: Mapping[str, Any], descriptor: Mapping[str, Any], name: str) -> None:
    """Refuse a manifest that some read as an index, or that is no other than its descriptor says.

    Raises OcclumError `verify`.
    """
    _check_kind(manifest, name, (*_OF_INDEX, "fsLayers"), _INDEX_TYPES)
    own, stated = manifest.get("mediaType"), descriptor.get("mediaType")
    if own and stated and own != stated:
        message = f"its mediaType is {own}, and {stated} in the index"
        raise OcclumError(CODE, message, place=Place(name))


def _check_kind(
    document: Mapping[str, Any], name: str, others: Sequence[str], kinds: Sequence[str]
) -> None:
    keys = [key for key in others if key in document]
    if keys or _is_any(document, kinds):
        why = f"it has {keys[0]!r}" if keys else f"its mediaType is {document['mediaType']}"
        message = f"it may be read as something else: {why}"
        raise OcclumError(CODE, message, place=Place(name))


def _is_any(value: Mapping[str, Any], kinds: Sequence[str]) -> bool:
    return any(kind in (value.get("mediaType") or "") for kind in kinds)


def chosen_of(manifests: Sequence[Mapping[str, Any]], ref: str | None) -> Mapping[str, Any]:
    """The one image of an index; OcclumError `verify` where there is none, or more than one.

    Without `ref` it is the one that refers to no other, as signatures do. Names count for all of
    them: which of two of one name is run, is up to the runtime.
    """
    if ref is not None:
        images = [one for one in manifests if ref_of(one) == ref]
    else:
        images = images_of(manifests)
        if len(images) == 1 and ref_of(images[0]) is not None:
            ref = ref_of(images[0])
            images = [one for one in manifests if ref_of(one) == ref]
    if len(images) != 1:
        raise _not_one(manifests, images, ref)
    if _is_any(images[0], _INDEX_TYPES):
        hint = "copy the image of one platform out of it: skopeo copy oci:DIR oci:OTHER"
        raise OcclumError(CODE, "the layout has an index in its index", hint=hint)
    return images[0]


def _not_one(
    manifests: Sequence[Mapping[str, Any]], images: Sequence[Mapping[str, Any]], ref: str | None
) -> OcclumError:
    what = "no image" if not images else f"{len(images)} images"
    named = "" if ref is None else " of that name" if not images else f" of the name {ref}"
    names = sorted({ref_of(one) or "" for one in manifests})
    hint = f"name one with --ref: {', '.join(names)[:500]}" if len(images) > 1 else ""
    if images and ref is not None:
        hint = "which of them is run is up to the runtime: keep one in index.json"
    return OcclumError(CODE, f"the layout has {what}{named}", hint=hint)


def ref_of(manifest: Mapping[str, Any]) -> str | None:
    """The name of an image in its index."""
    name = (manifest.get("annotations") or {}).get(REF_NAME)
    return None if name is None else str(name)
