from __future__ import annotations

import json
from dataclasses import replace

from occlum_build.oci.layout import ImageSettings, blob_path, layout_of
from occlum_build.oci.layout_test import LAYER
from occlum_build.oci.referrers import Attached, images_of, tag_of

EMPTY = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
SPDX = Attached("image.spdx.json", "application/spdx+json", f"sha256:{'1' * 64}", 11)
SLSA = Attached(
    "image.slsa.json", "application/vnd.in-toto+json", f"sha256:{'2' * 64}", 22, (("p", "v1"),)
)


def test_documents() -> None:
    layout = layout_of([LAYER], ImageSettings(), [SLSA, SPDX])
    image, spdx, slsa = json.loads(layout.files["index.json"])["manifests"]
    assert (spdx["artifactType"], slsa["artifactType"]) == (SPDX.media_type, SLSA.media_type)
    assert "annotations" not in spdx and slsa["annotations"] == {"p": "v1"}
    assert layout.referrers == (spdx, slsa)

    content = layout.files[blob_path(slsa["digest"])]
    assert slsa["size"] == len(content)
    assert json.loads(content) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": SLSA.media_type,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY, "size": 2},
        "layers": [
            {
                "mediaType": SLSA.media_type,
                "digest": SLSA.digest,
                "size": 22,
                "annotations": {"org.opencontainers.image.title": "image.slsa.json"},
            }
        ],
        "subject": {key: image[key] for key in ("mediaType", "digest", "size")},
        "annotations": {"p": "v1"},
    }
    assert layout.files[blob_path(EMPTY)] == b"{}"


def test_what_is_attached_changes_nothing_of_the_image() -> None:
    plain, attached = (layout_of([LAYER], ImageSettings(), files) for files in ([], [SPDX]))
    assert attached.digest == plain.digest
    same = plain.files.keys() - {"index.json"}
    assert {path: attached.files[path] for path in same} == {
        path: plain.files[path] for path in same
    }
    plain_image, other_image = (
        json.loads(one.files["index.json"])["manifests"][0] for one in (plain, attached)
    )
    assert plain_image == other_image


def test_the_order_does_not_matter() -> None:
    other = replace(SPDX, file="another.spdx.json", digest=f"sha256:{'3' * 64}")
    orders = ([SPDX, SLSA, other], [other, SLSA, SPDX])
    one, same = (layout_of([LAYER], ImageSettings(), files) for files in orders)
    assert one == same


def test_images_and_tags() -> None:
    layout = layout_of([LAYER], ImageSettings(), [SPDX])
    manifests = json.loads(layout.files["index.json"])["manifests"]
    assert images_of(manifests) == manifests[:1]
    assert tag_of(layout.digest) == f"sha256-{layout.digest[7:]}"
