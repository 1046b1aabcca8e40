"""Names of bills and of what is in them: made of their content, the same wherever that is."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING

from occlum_build.sbom.model import DEB, FILE, MAVEN, Bill, Component, bill_json

if TYPE_CHECKING:
    from packageurl import PackageURL

TOOL = "occlum-build"
# UUIDs of bills are names (RFC 4122, version 5) in a namespace of their own.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://occlum.io/sbom")


def bill_uuid(bill: Bill) -> uuid.UUID:
    """The UUID of a bill: equal bills have the same."""
    return uuid.uuid5(_NAMESPACE, hashlib.sha256(bill_json(bill)).hexdigest())


def package_url(component: Component) -> PackageURL | None:
    """The package URL, by the rules for its type; None for a file and what has no full name.

    https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst
    """
    from packageurl import PackageURL

    if component.kind == FILE or (component.kind == MAVEN and not component.group):
        return None
    qualifiers = {}
    if component.kind == DEB:
        upstream = component.source
        if upstream and component.source_version != component.version:
            upstream += f"@{component.source_version}"
        is_other = upstream and upstream != component.name
        given = {
            "arch": component.architecture,
            "distro": component.distro,
            "upstream": upstream if is_other else "",
        }
        qualifiers = {key: value for key, value in given.items() if value}
    return PackageURL(
        component.kind,
        component.group or None,
        component.name,
        component.version or None,
        qualifiers,
    )
