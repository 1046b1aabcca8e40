"""A bill of materials as CycloneDX 1.6, in JSON.

Process: `python -m occlum_build.sbom.cyclonedx BILL.json OUT`. The format is ECMA-424,
https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from occlum_build.process.step import run_step
from occlum_build.sbom.identity import TOOL, bill_uuid, package_url
from occlum_build.sbom.licensing import expression_of
from occlum_build.sbom.model import (
    DEB,
    FILE,
    Bill,
    Component,
    ComponentFile,
    file_ref,
    inner_first,
    read_bill,
)

if TYPE_CHECKING:
    from cyclonedx.model import HashType, Property
    from cyclonedx.model import component as parts

IMAGE_REF = "image"


def cyclonedx_json(bill: Bill) -> bytes:
    """The bill as CycloneDX: sorted, two blanks of indentation, a line end, and no time."""
    document = _document(bill)
    # The library takes minutes to sort objects for each of 50,000 files.
    made = {one["bom-ref"]: one for one in document.pop("components", [])}
    made.update((one.ref, _file(*one.files)) for one in bill.components if one.kind == FILE)
    for one in inner_first(bill):
        files = [] if one.kind == FILE else map(_file, one.files)
        made[one.ref].setdefault("components", []).extend(files)
        if one.inside:
            made[one.inside].setdefault("components", []).append(made[one.ref])
    for part in made.values():
        part["components"] = sorted(part["components"], key=lambda inner: inner["bom-ref"])
        if not part["components"]:
            del part["components"]
    document["components"] = [made[one.ref] for one in bill.components if not one.inside]
    document["dependencies"] = list(_dependencies(bill))
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _document(bill: Bill) -> dict[str, Any]:
    """The document, in which no file is, and no component in another."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import ComponentType
    from cyclonedx.model.dependency import Dependency
    from cyclonedx.output.json import JsonV1Dot6

    image = Part(
        name=bill.name,
        type=ComponentType.CONTAINER,
        version=f"sha256:{bill.digest}",
        bom_ref=IMAGE_REF,
    )
    found = [_part(one) for one in bill.components if one.kind != FILE]
    bom = Bom(
        serial_number=bill_uuid(bill),
        metadata=BomMetaData(component=image),
        components=found,
        dependencies=[Dependency(image.bom_ref, [Dependency(one.bom_ref) for one in found])],
    )
    bom.metadata.tools.components.add(Part(name=TOOL, type=ComponentType.APPLICATION))
    document: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]
    return document


def _dependencies(bill: Bill) -> Iterator[dict[str, Any]]:
    """What needs what; the image itself has all that is in nothing else."""
    needed = bill.needed_by()
    needed[IMAGE_REF] = [one.ref for one in bill.components if not one.inside]
    for ref in sorted([IMAGE_REF, *(one.ref for one in bill.components)]):
        yield {"ref": ref, "dependsOn": needed[ref]} if ref in needed else {"ref": ref}


def _part(component: Component) -> parts.Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.component import Component as Part
    from cyclonedx.model.component import ComponentType
    from cyclonedx.model.contact import OrganizationalEntity
    from cyclonedx.model.license import LicenseAcknowledgement, LicenseExpression

    expression = expression_of(component.licenses, dict(component.texts)).text
    declared = LicenseAcknowledgement.DECLARED
    home = XsUri(component.homepage)
    return Part(
        bom_ref=component.ref,
        type=ComponentType.LIBRARY,
        group=component.group or None,
        name=component.name,
        version=component.version or None,
        purl=package_url(component),
        hashes=_hashes(component.sha256),
        licenses=[LicenseExpression(expression, acknowledgement=declared)] if expression else [],
        supplier=OrganizationalEntity(name=component.supplier) if component.supplier else None,
        external_references=[ExternalReference(type=ExternalReferenceType.WEBSITE, url=home)]
        if component.homepage
        else [],
        properties=list(_properties(component)),
    )


def _file(file: ComponentFile) -> dict[str, Any]:
    return {
        "bom-ref": file_ref(file.path),
        "type": "file",
        "name": file.path,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
    }


def _hashes(sha256: str) -> list[HashType]:
    from cyclonedx.model import HashAlgorithm, HashType

    return [HashType(alg=HashAlgorithm.SHA_256, content=sha256)] if sha256 else []


def _properties(component: Component) -> Iterator[Property]:
    """The source package, of which CycloneDX has no notion."""
    from cyclonedx.model import Property

    if component.kind == DEB and component.source:
        yield Property(name=f"{TOOL}:source:name", value=component.source)
        yield Property(name=f"{TOOL}:source:version", value=component.source_version)


def _step(bill: str, out: str) -> None:
    Path(out).write_bytes(cyclonedx_json(read_bill(bill)))


if __name__ == "__main__":
    sys.exit(run_step(_step, sys.argv[1:], "occlum_build.sbom.cyclonedx BILL.json OUT"))
