"""Where an image comes from: SLSA provenance v1 in a statement of in-toto, not signed.

https://slsa.dev/spec/v1.0/provenance and https://github.com/in-toto/attestation. What depends on
the machine or the time of a build is optional there, and left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from occlum_build.sbom.identity import package_url
from occlum_build.sbom.model import Component
from occlum_build.sbom.rows import ImageRows, Row

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# What a build of this type takes and gives is in docs/sbom.md.
BUILD_TYPE = "urn:occlum-build:image:v1"
# Whoever signs a statement says who built; without a signature nobody can.
BUILDER = "urn:occlum-build:unsigned"


def provenance_json(
    name: str,
    image: ImageRows,
    packages: Iterable[Component],
    *,
    boms: Iterable[str] = (),
    builder: str = BUILDER,
) -> bytes:
    """The statement of an image, whose digest is its subject: sorted, with a line end.

    packages: those of its bill. boms: the files and targets that say what is in it. builder: a URI.
    """
    statement = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": image.digest}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"boms": sorted(set(boms)), "image": name},
                "internalParameters": {},
                "resolvedDependencies": _dependencies(image.rows, packages),
            },
            "runDetails": {"builder": {"id": builder}},
        },
    }
    return json.dumps(statement, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _dependencies(rows: Iterable[Row], packages: Iterable[Component]) -> list[dict[str, Any]]:
    """Each package that has something in the image, then each file that is of none."""
    files = {(row.source or row.path, row.sha256) for row in rows if row.sha256 and not row.package}
    found = [_package(one) for one in sorted(packages, key=lambda one: (one.name, one.version))]
    return found + [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(files)]


def _package(package: Component) -> dict[str, Any]:
    url = package_url(package)
    found: dict[str, Any] = {"name": package.name, "uri": "" if url is None else url.to_string()}
    if package.sha256:
        found["digest"] = {"sha256": package.sha256}
    return found
