"""A bill of materials as SPDX 2.3, in JSON.

Process: `python -m occlum_build.sbom.spdx BILL.json OUT`. The format is ISO/IEC 5962 in its later
version, https://spdx.github.io/spdx-spec/v2.3/. Files are packages whose purpose is FILE, as what
SPDX calls a file must have a SHA-1.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.process.step import run_step
from occlum_build.sbom.identity import TOOL, bill_uuid, package_url
from occlum_build.sbom.licensing import expression_of
from occlum_build.sbom.model import FILE, MAVEN, Bill, Component, file_ref, read_bill

if TYPE_CHECKING:
    from spdx_tools.spdx.model import Package

_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-image"
_NO_ID = re.compile(r"[^A-Za-z0-9.]+")
_MOST_OF_AN_ID = 60


def spdx_json(bill: Bill, created: int = 0) -> bytes:
    """The bill as SPDX: sorted, two blanks of indentation and a line end.

    created: when it was made, which SPDX requires, in seconds since 1970.
    """
    from spdx_tools.spdx.jsonschema.document_converter import DocumentConverter

    document = DocumentConverter().convert(_document(bill, created))
    # The schema of 2.3 has the name as the text of the specification does, spdx-tools as RDF does.
    for package in document["packages"]:
        for reference in package.get("externalRefs", ()):
            reference["referenceCategory"] = "PACKAGE-MANAGER"
    # Objects for each of 50,000 files and relationships take the library half a minute.
    document["packages"] += list(_files(bill))
    document["packages"].sort(key=lambda package: package["SPDXID"])
    document["relationships"] = [
        {"spdxElementId": of, "relationshipType": kind, "relatedSpdxElement": to}
        for of, kind, to in _relationships(bill)
    ]
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _document(bill: Bill, created: int) -> Any:
    from spdx_tools.spdx.model import (
        Actor,
        ActorType,
        CreationInfo,
        Document,
        ExtractedLicensingInfo,
    )

    about = CreationInfo(
        spdx_version="SPDX-2.3",
        spdx_id=_DOCUMENT,
        name=bill.name,
        document_namespace=f"https://spdx.org/spdxdocs/occlum-image-{bill_uuid(bill)}",
        creators=[Actor(ActorType.TOOL, TOOL)],
        created=datetime.fromtimestamp(created, timezone.utc).replace(tzinfo=None),
    )
    texts: dict[str, str] = {}
    packages = [_package(one, texts) for one in bill.components if one.kind != FILE]
    return Document(
        about,
        packages=[_image(bill), *packages],
        extracted_licensing_info=[
            ExtractedLicensingInfo(license_id=ref, extracted_text=text)
            for ref, text in sorted(texts.items())
        ],
    )


def _image(bill: Bill) -> Package:
    from spdx_tools.spdx.model import Package, PackagePurpose, SpdxNoAssertion

    return Package(
        spdx_id=_IMAGE,
        name=bill.name,
        version=f"sha256:{bill.digest}",
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        primary_package_purpose=PackagePurpose.CONTAINER,
    )


def _package(component: Component, texts: dict[str, str]) -> Package:
    """One component; the texts of its licenses that SPDX has not are added to `texts`."""
    from spdx_tools.common.spdx_licensing import spdx_licensing
    from spdx_tools.spdx.model import (
        Actor,
        ActorType,
        Checksum,
        ChecksumAlgorithm,
        ExternalPackageRef,
        ExternalPackageRefCategory,
        Package,
        PackagePurpose,
        SpdxNoAssertion,
    )

    expression, refs = expression_of(component.licenses, dict(component.texts))
    texts.update(refs)
    source = f"built from: {component.source} {component.source_version}"
    url = package_url(component)
    reference = "" if url is None else url.to_string()
    purl = ExternalPackageRefCategory.PACKAGE_MANAGER
    return Package(
        spdx_id=spdx_id(component.ref),
        name=f"{component.group}:{component.name}" if component.kind == MAVEN else component.name,
        version=component.version or None,
        supplier=Actor(ActorType.ORGANIZATION, component.supplier)
        if component.supplier
        else SpdxNoAssertion(),
        download_location=SpdxNoAssertion(),
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, component.sha256)]
        if component.sha256
        else [],
        homepage=component.homepage or None,
        source_info=source if component.source else None,
        license_concluded=SpdxNoAssertion(),
        license_declared=spdx_licensing.parse(expression) if expression else SpdxNoAssertion(),
        copyright_text=SpdxNoAssertion(),
        external_references=[ExternalPackageRef(purl, "purl", reference)] if reference else [],
        primary_package_purpose=PackagePurpose.LIBRARY,
    )


def _files(bill: Bill) -> Iterator[dict[str, Any]]:
    for path, sha256, _ in (file for one in bill.components for file in one.files):
        yield {
            "SPDXID": spdx_id(file_ref(path)),
            "name": path,
            "packageFileName": path,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
            "primaryPackagePurpose": "FILE",
        }


def _relationships(bill: Bill) -> Iterator[tuple[str, str, str]]:
    yield _DOCUMENT, "DESCRIBES", _IMAGE
    for one in bill.components:
        outer = spdx_id(one.inside) if one.inside else _IMAGE
        yield outer, "CONTAINS", spdx_id(one.ref)
        for file in one.files if one.kind != FILE else ():
            yield spdx_id(one.ref), "CONTAINS", spdx_id(file_ref(file.path))
    for needer, needed in bill.needs:
        yield spdx_id(needer), "DEPENDS_ON", spdx_id(needed)


@cache  # each is needed some three times
def spdx_id(ref: str) -> str:
    """The identifier of a component: its ref as far as SPDX takes it, and a hash of the whole."""
    name = _NO_ID.sub("-", ref).strip("-")[-_MOST_OF_AN_ID:].strip("-")
    return f"SPDXRef-{name}-{hashlib.sha256(ref.encode()).hexdigest()[:12]}"


def _step(bill: str, out: str) -> None:
    Path(out).write_bytes(spdx_json(read_bill(bill)))


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.sbom.spdx BILL.json OUT"))
