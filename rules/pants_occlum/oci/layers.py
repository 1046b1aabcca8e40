"""The layers of a container's root file system, each made by a process keyed by its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pants.engine.fs import (
    FileDigest,
)
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption

from occlum_build.oci.grouping import Group, with_parents, within_budget
from occlum_build.oci.layout import ImageLayer
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.dist.entries import TreeEntry, with_parents_of
from pants_occlum.dist.packed import Packed
from pants_occlum.image.blobs import LayerBlobRequest, make_layer_blob
from pants_occlum.image.planned import PlannedImage, check_host
from pants_occlum.oci.rootfs import Rootfs
from pants_occlum.sysroot.host import SysrootBlob, link_sysroot
from pants_occlum.sysroot.pins import HostContents


@dataclass(frozen=True)
class LayersRequest:
    """Of a root file system what its layers are made of, and how."""

    tree: tuple[TreeEntry, ...]
    groups: tuple[Group, ...]
    is_shared: bool
    plan: PlannedImage | None = field(hash=False)
    packed: Packed | None
    max_layers: int
    compression: str
    of: str = field(compare=False)


@dataclass(frozen=True)
class LayerBlobs:
    """The layers from the lowest up, and the file of each."""

    layers: tuple[ImageLayer, ...]
    files: tuple[FileDigest, ...]


def layers_request(rootfs: Rootfs, max_layers: int, compression: str, of: str) -> LayersRequest:
    """The layers of a root file system; what else is known of it makes no other ones."""
    return LayersRequest(
        rootfs.tree,
        rootfs.groups,
        rootfs.is_shared,
        rootfs.plan,
        rootfs.packed,
        max_layers,
        compression,
        of,
    )


@rule(desc="Make the layers of an OCI image")
async def make_layers(request: LayersRequest, named_caches_dir: NamedCachesDirOption) -> LayerBlobs:
    groups = within_budget(request.groups, request.max_layers)
    by_path = with_parents_of(request.tree)
    sources: dict[str, str] = {}
    if request.plan is not None:
        await check_host(request.plan, request.of)
        sources = {file.path: file.source for file in request.plan.host_files()}
        link_sysroot(named_caches_dir, request.plan.sysroot.root)
    requests = []
    for group in groups:
        entries = tuple(by_path[path] for path in with_parents(group.paths))
        blobs = {
            entry.sha256: SysrootBlob(sources[entry.path], entry.sha256, entry.size)
            for entry in entries
            if entry.path in sources
        }
        host = None
        if request.plan is not None and blobs:
            host = HostContents(request.plan.sysroot, tuple(blobs.values()), request.of)
        requests.append(
            LayerBlobRequest(
                entries,
                request.compression,
                request.is_shared,
                host,
                request.packed,
                group.name,
            )
        )
    made = await concurrently(make_layer_blob(one, **implicitly()) for one in requests)
    layers = tuple(ImageLayer(group.name, blob.info) for group, blob in zip(groups, made))
    return LayerBlobs(layers, tuple(blob.file for blob in made))


def rules() -> Iterable[Rule]:
    return collect_rules()
