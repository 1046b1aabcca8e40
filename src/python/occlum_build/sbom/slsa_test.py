from __future__ import annotations

import json

import pytest

from occlum_build.sbom.debian import Control
from occlum_build.sbom.describe import Deb, Known, packages_of
from occlum_build.sbom.rows import ImageRows, Row
from occlum_build.sbom.testing import DIGEST

pytest.importorskip("packageurl", reason="packageurl-python is not installed")

from occlum_build.sbom.slsa import provenance_json

ROWS = (
    Row("/a", "aa" * 32, 1, source="app/a"),
    Row("/again", "aa" * 32, 1, source="app/a"),
    Row("/lib/x.so", "bb" * 32, 1, "libx", "1:2+b1", "/usr/lib/x.so"),
    Row("/lib/y", package="other", version="3"),
    Row("/link"),
    Row("/sourceless", "cc" * 32),
)


def test_a_statement() -> None:
    debs = {"libx": Deb(Control("libx", "1:2+b1", "amd64"), sha256="dd" * 32)}
    image = ImageRows(DIGEST, ROWS)
    packages = packages_of(image, Known(lambda _: None, debs))
    data = provenance_json("app:image", image, packages[::-1], boms=["b", "a", "b"])
    assert json.loads(data) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "app:image", "digest": {"sha256": DIGEST}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:occlum-build:image:v1",
                "externalParameters": {"image": "app:image", "boms": ["a", "b"]},
                "internalParameters": {},
                "resolvedDependencies": [
                    {
                        "name": "libx",
                        "uri": "pkg:deb/debian/libx@1:2%2Bb1?arch=amd64",
                        "digest": {"sha256": "dd" * 32},
                    },
                    {"name": "other", "uri": "pkg:deb/debian/other@3"},
                    {"name": "/sourceless", "digest": {"sha256": "cc" * 32}},
                    {"name": "app/a", "digest": {"sha256": "aa" * 32}},
                ],
            },
            "runDetails": {"builder": {"id": "urn:occlum-build:unsigned"}},
        },
    }
    assert data.endswith(b"}\n")
