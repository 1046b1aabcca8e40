"""The layers of a container's root file system, each made by a process keyed by its content."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate

from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    DigestSubset,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
    PathGlobs,
)
from pants.engine.process import Process, ProcessResult
from pants.engine.rules import Rule
from pants.option.global_options import NamedCachesDirOption
from pants.util.frozendict import FrozenDict

from occlum_build.oci.grouping import Group, with_parents, within_budget
from occlum_build.oci.layer import ZSTD, LayerInfo, entries_json
from occlum_build.oci.layout import ImageLayer
from occlum_build.oci.parts import parts_of
from occlum_build.process.complete import TABLE, HostFile, table_json
from occlum_build.sources.model import DIR
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    digest_subset_to_digest,
    get_digest_contents,
    merge_digests,
)
from pants_occlum.dist.digest import digest_entries, file_digests
from pants_occlum.dist.entries import DEFAULT_DIR_MODE, TreeEntry
from pants_occlum.dist.packed import Packed, in_packs, packs_input
from pants_occlum.dist.places import DistPlaces
from pants_occlum.image.planned import PlannedImage, check_host
from pants_occlum.oci.rootfs import Rootfs
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise
from pants_occlum.sysroot.awaited_contents import awaited, try_process
from pants_occlum.sysroot.host import SYSROOT_CACHES, SysrootBlob, link_sysroot
from pants_occlum.sysroot.pins import HostContents, host_contents

_ROOT, _ENTRIES, _LAYER = "root", "entries.json", "layer"
_INFO = f"{_LAYER}.json"
_PARTS, _PARTS_MODULE = "parts", "occlum_build.oci.parts"


@dataclass(frozen=True)
class LayerBlobRequest:
    """The entries of a layer, with the directories above them, in order of path.

    Contents are in the store but those of `host` and those in packs.
    """

    entries: tuple[TreeEntry, ...]
    compression: str
    is_shared: bool
    host: HostContents | None
    packed: Packed | None
    name: str = field(compare=False)

    def host_files(self) -> tuple[HostFile, ...]:
        """The files whose contents are in a sysroot alone."""
        sources = {blob.sha256: blob.path for blob in self.host.blobs} if self.host else {}
        return tuple(
            HostFile(entry.path, entry.sha256, sources[entry.sha256])
            for entry in self.entries
            if entry.sha256 in sources
        )

    @property
    def size(self) -> int:
        """Bytes of all contents."""
        return sum(entry.size for entry in self.entries)

    def parts(self) -> list[LayerBlobRequest]:
        """A request for each part (occlum_build.oci.parts), alone where that is all."""
        counts = parts_of((entry.path, entry.size) for entry in self.entries)
        if len(counts) == 1:
            return [self]
        ends = list(accumulate(counts))
        return [self._part(self.entries[a:b]) for a, b in zip([0, *ends], ends)]

    def _part(self, entries: tuple[TreeEntry, ...]) -> LayerBlobRequest:
        host = self.host
        if host is not None:
            wanted = {entry.sha256 for entry in entries}
            blobs = tuple(blob for blob in host.blobs if blob.sha256 in wanted)
            host = replace(host, blobs=blobs) if blobs else None
        return replace(self, entries=entries, host=host)


@dataclass(frozen=True)
class LayerPartRequest:
    """Some entries of a layer, and the contents of these."""

    part: LayerBlobRequest


@dataclass(frozen=True)
class LayerPart:
    file: FileDigest


@dataclass(frozen=True)
class LayerBlob:
    info: LayerInfo
    file: FileDigest


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


async def _process(
    request: LayerBlobRequest, places: DistPlaces, *, is_part: bool, is_whole: bool
) -> Process:
    if is_whole and request.host is not None:
        await host_contents(request.host)
    host = () if is_whole else request.host_files()
    packed = in_packs(request.entries, request.packed.slices()) if request.packed else ()
    elsewhere = {*(one.path for one in host), *(one.path for one in packed)}
    stored = (entry for entry in request.entries if entry.path not in elsewhere)
    rows = entries_json((e.path, e.kind, e.mode, e.target) for e in request.entries)
    files = [FileContent(_ENTRIES, rows), FileContent(TABLE, table_json(host, packed))]
    awaits = awaited(request.host) if host and request.host is not None else ()
    inputs = [
        await add_prefix(
            AddPrefix(await create_digest(CreateDigest(digest_entries(stored))), _ROOT)
        ),
        await create_digest(CreateDigest([*files, *awaits])),
    ]
    if request.packed is not None:
        inputs.append(await packs_input(request.packed, packed))
    argv = (request.compression, _ROOT, _ENTRIES, _LAYER, TABLE)
    of = "a part of a layer" if is_part else "a layer"
    return await prepare_tool_process(
        ToolProcessRequest(
            module=_PARTS_MODULE if is_part else "occlum_build.oci.layer",
            argv=("pack", *argv) if is_part else argv,
            description=f"Compress {of} of an OCI image ({request.name})",
            input_digest=await merge_digests(MergeDigests(inputs)),
            compiled_requirements=_requirements(request.compression),
            append_only_caches=SYSROOT_CACHES if host else FrozenDict({}),
            output_files=(_LAYER,) if is_part else (_LAYER, _INFO),
            cache_scope=places.scope_of(request.size, is_shared=request.is_shared),
        ),
    )


async def _compress(
    request: LayerBlobRequest, places: DistPlaces, *, is_part: bool
) -> ProcessResult:
    process = await _process(request, places, is_part=is_part, is_whole=places.executes_remotely)
    if await try_process(process, request.host) is None:
        process = await _process(request, places, is_part=is_part, is_whole=True)
    return await run_tool_or_raise(process)


def _requirements(compression: str) -> tuple[str, ...]:
    return ("zstandard",) if compression == ZSTD else ()


@rule(desc="Make a part of a layer of an OCI image")
async def make_layer_part(request: LayerPartRequest, places: DistPlaces) -> LayerPart:
    result = await _compress(request.part, places, is_part=True)
    return LayerPart((await file_digests(result.output_digest))[_LAYER])


async def _join(
    request: LayerBlobRequest, parts: Iterable[LayerBlobRequest], places: DistPlaces
) -> ProcessResult:
    """The layer of parts that are made one by one; what is sent to a remote cache is these."""
    made = await concurrently(
        make_layer_part(LayerPartRequest(one), **implicitly()) for one in parts
    )
    files = (FileEntry(f"{_PARTS}/{number:06}", one.file) for number, one in enumerate(made))
    process = await prepare_tool_process(
        ToolProcessRequest(
            module=_PARTS_MODULE,
            argv=("join", request.compression, _PARTS, _LAYER),
            description=f"Join the parts of a layer of an OCI image ({request.name})",
            input_digest=await create_digest(CreateDigest(files)),
            compiled_requirements=_requirements(request.compression),
            output_files=(_LAYER, _INFO),
            cache_scope=places.scope_of(request.size, is_shared=request.is_shared),
        )
    )
    return await run_tool_or_raise(process)


@rule(desc="Make a layer of an OCI image")
async def make_layer_blob(request: LayerBlobRequest, places: DistPlaces) -> LayerBlob:
    parts = request.parts()
    if len(parts) == 1:
        result = await _compress(request, places, is_part=False)
    else:
        result = await _join(request, parts, places)
    files = await file_digests(result.output_digest)
    small = await digest_subset_to_digest(DigestSubset(result.output_digest, PathGlobs([_INFO])))
    contents = await get_digest_contents(small)
    return LayerBlob(LayerInfo(**json.loads(contents[0].content)), files[_LAYER])


@rule(desc="Make the layers of an OCI image")
async def make_layers(request: LayersRequest, named_caches_dir: NamedCachesDirOption) -> LayerBlobs:
    groups = within_budget(request.groups, request.max_layers)
    by_path = _with_parents(request.tree)
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
