"""What tells of an image beside it in dist: its manifest, and the graph of who needs what."""

from __future__ import annotations

from occlum_build.image.graph import GRAPH, graph_text
from occlum_build.occlum.earlier import MANIFEST
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.sync import sync_file
from pants_occlum.image.nodes import Image


def sync_manifest(places: DistPlaces, output: str, image: Image) -> str:
    """Write both files below dist; gives the manifest's path there.

    Not by way of the store, which would grow by a whole manifest with each edit.
    """
    manifest = f"{output}/{MANIFEST}"
    sync_file(places, f"{output}/{GRAPH}", graph_text(image.plan.graph, image.name))
    sync_file(places, manifest, image.manifest.full)
    return manifest
