"""What refers to an image: a manifest with the image as its `subject` for each attached file.

Image specification 1.1, manifest.md and image-layout.md; distribution specification 1.1, "Referrers
Tag Schema".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from occlum_build.image.manifest import canonical_json

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_EMPTY = b"{}"
_TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True)
class Attached:
    """A file that goes with an image, with its media type, `sha256:` digest and size in bytes.

    The annotations, names and values, are those of its manifest, and lists of referrers have them.
    """

    file: str
    media_type: str
    digest: str
    size: int
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Referrers:
    """Digest -> content of the documents that a layout gets, and the descriptors for its index."""

    blobs: Mapping[str, bytes]
    descriptors: tuple[Mapping[str, Any], ...]


def referrers_of(subject: Mapping[str, Any], attached: Iterable[Attached]) -> Referrers:
    """A manifest for each file, in the order of their types; the files are no part of `blobs`.

    `subject` is the descriptor of the image's manifest.
    """
    blobs: dict[str, bytes] = {}
    found = []
    for one in sorted(attached, key=lambda one: (one.media_type, one.file)):
        manifest = canonical_json(_manifest(subject, one))
        descriptor = {**descriptor_of(MANIFEST_TYPE, manifest), "artifactType": one.media_type}
        if one.annotations:
            descriptor["annotations"] = dict(one.annotations)
        blobs[descriptor["digest"]] = manifest
        blobs[digest_of(_EMPTY)] = _EMPTY
        found.append(descriptor)
    return Referrers(blobs, tuple(found))


def _manifest(subject: Mapping[str, Any], attached: Attached) -> dict[str, Any]:
    layer = {
        "mediaType": attached.media_type,
        "digest": attached.digest,
        "size": attached.size,
        "annotations": {_TITLE: attached.file},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": attached.media_type,
        "config": descriptor_of(EMPTY_TYPE, _EMPTY),
        "layers": [layer],
        "subject": {key: subject[key] for key in ("mediaType", "digest", "size")},
    }
    if attached.annotations:
        manifest["annotations"] = dict(attached.annotations)
    return manifest


def tag_of(digest: str) -> str:
    """The tag under which a registry without an API for it lists what refers to a digest."""
    return digest.replace(":", "-", 1)


def images_of(manifests: Sequence[Any]) -> list[Any]:
    """The descriptors of an index that are of images, and not of artefacts that refer to one."""
    return [one for one in manifests if not one.get("artifactType")]


def digest_of(content: bytes) -> str:
    """`sha256:` and the digest in hex."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def descriptor_of(media_type: str, content: bytes) -> dict[str, Any]:
    """What names a content in documents of the image specification."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}
