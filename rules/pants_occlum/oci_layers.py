"""The layers of a container's root file system, each made by a process keyed by its content."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field

from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestContents,
    DigestSubset,
    FileContent,
    FileDigest,
    MergeDigests,
    PathGlobs,
)
from pants.engine.process import Process, ProcessCacheScope, ProcessResult
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule

from occlum_build.oci.grouping import with_parents, within_budget
from occlum_build.oci.layer import ZSTD, LayerInfo, entries_json
from occlum_build.oci.layout import ImageLayer
from occlum_build.sources import DIR
from pants_occlum.oci_rootfs import Rootfs
from pants_occlum.util_rules.dist_tree import DEFAULT_DIR_MODE, TreeEntry
from pants_occlum.util_rules.tool_process import ToolProcessRequest
from pants_occlum.util_rules.tree_digest import digest_entries, file_digests

_ROOT, _ENTRIES, _LAYER = "root", "entries.json", "layer"
_INFO = f"{_LAYER}.json"


@dataclass(frozen=True)
class LayerBlobRequest:
    """The entries of a layer, with the directories above them, in order of path."""

    entries: tuple[TreeEntry, ...]
    compression: str
    is_shared: bool
    name: str = field(compare=False)


@dataclass(frozen=True)
class LayerBlob:
    info: LayerInfo
    file: FileDigest


@dataclass(frozen=True)
class LayersRequest:
    rootfs: Rootfs
    max_layers: int
    compression: str


@dataclass(frozen=True)
class LayerBlobs:
    """The layers from the lowest up, and the file of each."""

    layers: tuple[ImageLayer, ...]
    files: tuple[FileDigest, ...]


@rule(desc="Make a layer of an OCI image")
async def make_layer_blob(request: LayerBlobRequest) -> LayerBlob:
    content = await Get(Digest, CreateDigest(digest_entries(request.entries)))
    rows = entries_json((e.path, e.kind, e.mode, e.target) for e in request.entries)
    inputs = await MultiGet(
        Get(Digest, AddPrefix(content, _ROOT)),
        Get(Digest, CreateDigest([FileContent(_ENTRIES, rows)])),
    )
    process = await Get(
        Process,
        ToolProcessRequest(
            module="occlum_build.oci.layer",
            argv=(request.compression, _ROOT, _ENTRIES, _LAYER),
            description=f"Compress a layer of an OCI image ({request.name})",
            input_digest=await Get(Digest, MergeDigests(inputs)),
            compiled_requirements=("zstandard",) if request.compression == ZSTD else (),
            output_files=(_LAYER, _INFO),
            cache_scope=ProcessCacheScope.SUCCESSFUL
            if request.is_shared
            else ProcessCacheScope.PER_RESTART_SUCCESSFUL,
        ),
    )
    result = await Get(ProcessResult, Process, process)
    files = await file_digests(result.output_digest)
    small = await Get(Digest, DigestSubset(result.output_digest, PathGlobs([_INFO])))
    contents = await Get(DigestContents, Digest, small)
    return LayerBlob(LayerInfo(**json.loads(contents[0].content)), files[_LAYER])


@rule(desc="Make the layers of an OCI image")
async def make_layers(request: LayersRequest) -> LayerBlobs:
    rootfs = request.rootfs
    groups = within_budget(rootfs.groups, request.max_layers)
    by_path = _with_parents(rootfs.tree)
    blobs = await MultiGet(
        Get(
            LayerBlob,
            LayerBlobRequest(
                tuple(by_path[path] for path in with_parents(group.paths)),
                request.compression,
                rootfs.is_shared,
                group.name,
            ),
        )
        for group in groups
    )
    layers = tuple(ImageLayer(group.name, blob.info) for group, blob in zip(groups, blobs))
    return LayerBlobs(layers, tuple(blob.file for blob in blobs))


def _with_parents(tree: Iterable[TreeEntry]) -> dict[str, TreeEntry]:
    """The entries by path, with the directories that are only implied by others' paths."""
    by_path = {entry.path: entry for entry in tree}
    for path in list(by_path):
        parent = posixpath.dirname(path)
        while parent and parent not in by_path:
            by_path[parent] = TreeEntry(parent, DIR, DEFAULT_DIR_MODE)
            parent = posixpath.dirname(parent)
    return by_path


def rules() -> Iterable[Rule]:
    return collect_rules()
