"""Names that have a meaning in the layers of an OCI image."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from occlum_build.errors import Report
from occlum_build.image.entries import Entry
from occlum_build.shown import some

# A file of such a name is none: it takes away what a lower layer has under the rest of the name.
WHITEOUT_PREFIX = ".wh."


def check_whiteouts(entries: Iterable[Entry], report: Report) -> None:
    """Refuse entries that would be whiteouts: errors of code `oci`, one for each line of a BOM."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if posixpath.basename(entry.path).startswith(WHITEOUT_PREFIX):
            found.setdefault(str(entry.origin.place), []).append(entry)
    for of_line in found.values():
        names = some([f"/{entry.path}" for entry in of_line])
        report.error(
            "oci",
            f"{names}: in a layer a name that begins with {WHITEOUT_PREFIX} deletes a file "
            "and is none itself",
            of_line[0].origin.place,
            "leave it out with `excludes`, or give it another name",
        )
