"""Compressed archives of trees, made by processes keyed by what is in them: layers, instances."""

from __future__ import annotations

import json
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
from pants.util.frozendict import FrozenDict

from occlum_build.oci.layer import ZSTD, LayerInfo, entries_json
from occlum_build.oci.parts import parts_of
from occlum_build.process.complete import TABLE, HostFile, table_json
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    digest_subset_to_digest,
    get_digest_contents,
    merge_digests,
)
from pants_occlum.dist.digest import digest_entries, file_digests
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.packed import Packed, in_packs, packs_input
from pants_occlum.dist.places import DistPlaces
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool_or_raise
from pants_occlum.sysroot.awaited_contents import awaited, try_process
from pants_occlum.sysroot.host import SYSROOT_CACHES
from pants_occlum.sysroot.pins import HostContents, host_contents

_ROOT, _ENTRIES, _LAYER = "root", "entries.json", "layer"
_INFO = f"{_LAYER}.json"
_PARTS, _PARTS_MODULE = "parts", "occlum_build.oci.parts"


@dataclass(frozen=True)
class LayerBlobRequest:
    """The entries of a layer, with the directories above them, in order.

    Contents are in the store but those of `host` and those in packs. `what` and `name` tell the
    user what is made.
    """

    entries: tuple[TreeEntry, ...]
    compression: str
    is_shared: bool
    host: HostContents | None
    packed: Packed | None
    name: str = field(compare=False)
    what: str = field(default="a layer of an OCI image", compare=False)

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
        entries = self._by_pack()
        counts = parts_of((entry.path, entry.size) for entry in entries)
        if len(counts) == 1:
            return [self]
        ends = list(accumulate(counts))
        return [self._part(entries[a:b]) for a, b in zip([0, *ends], ends)]

    def _by_pack(self) -> tuple[TreeEntry, ...]:
        """The entries with those in packs last, as they lie there: a part needs few packs then."""
        if self.packed is None:
            return self.entries
        packed = {one.path: one for one in in_packs(self.entries, self.packed.slices())}
        return (
            *(entry for entry in self.entries if entry.path not in packed),
            *sorted(
                (entry for entry in self.entries if entry.path in packed),
                key=lambda entry: packed[entry.path][1:3],
            ),
        )

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
        await digest_of([*files, *awaits]),
    ]
    if request.packed is not None:
        inputs.append(await packs_input(request.packed, packed))
    argv = (request.compression, _ROOT, _ENTRIES, _LAYER, TABLE)
    what = f"a part of {request.what}" if is_part else request.what
    return await prepare_tool_process(
        ToolProcessRequest(
            module=_PARTS_MODULE if is_part else "occlum_build.oci.layer",
            argv=("pack", *argv) if is_part else argv,
            description=f"Compress {what} ({request.name})",
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


@rule(desc="Make a part of a compressed archive")
async def make_layer_part(request: LayerPartRequest, places: DistPlaces) -> LayerPart:
    result = await _compress(request.part, places, is_part=True)
    return LayerPart((await file_digests(result.output_digest))[_LAYER])


async def _join(
    request: LayerBlobRequest, parts: Iterable[LayerBlobRequest], places: DistPlaces
) -> ProcessResult:
    """The archive of parts that are made one by one, which are what a remote cache gets of it."""
    made = await concurrently(
        make_layer_part(LayerPartRequest(one), **implicitly()) for one in parts
    )
    files = (FileEntry(f"{_PARTS}/{number:06}", one.file) for number, one in enumerate(made))
    process = await prepare_tool_process(
        ToolProcessRequest(
            module=_PARTS_MODULE,
            argv=("join", request.compression, _PARTS, _LAYER),
            description=f"Join the parts of {request.what} ({request.name})",
            input_digest=await create_digest(CreateDigest(files)),
            compiled_requirements=_requirements(request.compression),
            output_files=(_LAYER, _INFO),
            cache_scope=places.scope_of(request.size, is_shared=request.is_shared),
        )
    )
    return await run_tool_or_raise(process)


@rule(desc="Make a compressed archive")
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


def rules() -> Iterable[Rule]:
    return collect_rules()
