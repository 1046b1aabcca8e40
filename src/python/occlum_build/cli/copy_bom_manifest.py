"""What `copy-bom --manifest` writes: the manifest of a plan, and `graph.json` beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from occlum_build.errors import OcclumError
from occlum_build.image.entries import Entry
from occlum_build.image.plan import ImagePlan
from occlum_build.sources.os import OsSources

if TYPE_CHECKING:  # slow to import, and not every run writes a manifest
    from pathlib import Path


def with_absolute_boms(plan: ImagePlan) -> Iterator[Entry]:
    """The entries, their BOM items named from the root: the working directory is in no file."""
    for entry in plan.entries:
        place = entry.origin.place
        if not place.file.startswith("/"):
            origin = replace(entry.origin, place=replace(place, file=f"/{place.file}"))
            entry = entry._replace(origin=origin)
        yield entry


def write_manifest(plan: ImagePlan, sources: OsSources, path: Path, root: str) -> None:
    """Write both files, or neither; their directory is made where it is missing.

    `root` is the image's directory, which they must not be in. Raises OcclumError `usage` when they
    would be, or when both would have one name.
    """
    from occlum_build.files.change import Change
    from occlum_build.image.graph import GRAPH, graph_of, graph_text
    from occlum_build.image.manifest import manifest_text

    if f"{os.path.realpath(path.parent)}/".startswith(f"{root}/"):
        hint = "give it a place beside the image"
        raise OcclumError("usage", f"--manifest: {path} is in the image itself", hint=hint)
    if path.name == GRAPH:
        hint = f"give the manifest another name: {GRAPH} is written beside it"
        raise OcclumError("usage", f"--manifest: {path} cannot be the manifest", hint=hint)
    manifest = manifest_text(with_absolute_boms(plan), sources.sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Change() as change:
        change.write(path, manifest.full)
        change.write(path.with_name(GRAPH), graph_text(graph_of(plan), manifest.digest))
        change.commit()
