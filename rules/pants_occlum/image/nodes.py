"""The image as nodes: its entries and manifest, and its content as one digest, made of layers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import filterfalse

from pants.engine.addresses import Address
from pants.engine.fs import (
    CreateDigest,
    Digest,
    Directory,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
    SymlinkEntry,
)
from pants.engine.process import FallibleProcessResult, Process
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest
from pants.option.global_options import NamedCachesDirOption
from pants.util.frozendict import FrozenDict

from occlum_build.errors import Problem
from occlum_build.image.entries import DIR, FILE, Entry
from occlum_build.image.manifest import ManifestText
from occlum_build.image.missing import ELSEWHERE
from occlum_build.process.complete import TABLE, table_json
from pants_occlum.bom.target_types import ImageBomsField
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import (
    create_digest,
    merge_digests,
    resolve_target,
    resolve_unparsed_address_inputs,
)
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.places import DistPlaces
from pants_occlum.findings import allowed_of, findings_of, tell
from pants_occlum.image.planned import PlannedImage, check_host, is_for_others
from pants_occlum.image.planning import PlanRequest, plan_image
from pants_occlum.image.target_types import AllowMissingField, PackageMetadataField
from pants_occlum.image.texts import texts_of
from pants_occlum.invalid import invalid_target
from pants_occlum.one_address import OneAddressField, named_target
from pants_occlum.problems import image_errors
from pants_occlum.process.digest_of import digest_of
from pants_occlum.process.quiet_gc import quiet_gc
from pants_occlum.subsystem import OcclumSubsystem
from pants_occlum.sysroot.awaited_contents import awaited, try_process
from pants_occlum.sysroot.host import SYSROOT_CACHES, link_sysroot
from pants_occlum.sysroot.pins import host_contents


@dataclass(frozen=True)
class ImageRequest:
    address: Address


@dataclass(frozen=True)
class Image:
    """An image: all its entries, its manifest, and the image digest as `name`.

    `told` is what was found of it and is not allowed. Nodes above an image are keyed by the
    manifest's `identity`, not by why an entry is there.
    """

    address: Address
    name: str
    tree: tuple[TreeEntry, ...]
    manifest: ManifestText
    plan: PlannedImage
    told: tuple[Problem, ...] = ()

    @cached_property  # told in each run
    def size_bytes(self) -> int:
        return sum(entry.size for entry in self.tree)


@dataclass(frozen=True)
class ImageContentRequest:
    """is_whole: with the contents that a process on this machine can take from the host."""

    address: Address
    is_whole: bool = True


@dataclass(frozen=True)
class ImageContent:
    """The image below one digest, its files in the store; a digest knows no modes.

    `table` holds TABLE, the files that a process takes from the host
    (occlum_build.process.complete), and `caches` is what it needs for that.
    """

    digest: Digest
    table: Digest
    caches: FrozenDict[str, str]


@dataclass(frozen=True)
class LayerRequest:
    """What one BOM brings into one directory of an image; compared by `key` alone.

    `key` is the SHA-256 of the entries' identity. `digests` has the contents by SHA-256, and
    `sha256` these by source path.
    """

    key: str
    entries: tuple[Entry, ...] = field(compare=False, repr=False)
    sha256: Mapping[str, str] = field(compare=False, repr=False)
    digests: Mapping[str, FileDigest] = field(compare=False, repr=False)


@dataclass(frozen=True)
class Layer:
    digest: Digest


async def plan_request(target: Target) -> PlanRequest:
    """What an `occlum_image` asks to be planned."""
    boms = await resolve_unparsed_address_inputs(
        target[ImageBomsField].to_unparsed_address_inputs(), **implicitly()
    )
    return PlanRequest(
        target.address,
        tuple(boms),
        tuple(target[AllowMissingField].value or ()),
        target[PackageMetadataField].value,
    )


@rule(desc="Make an image")
async def make_image(request: ImageRequest, occlum: OcclumSubsystem) -> Image:
    target = (
        await resolve_target(WrappedTargetRequest(request.address, "an image"), **implicitly())
    ).target
    plan = await plan_image(await plan_request(target), **implicitly())
    if ELSEWHERE in allowed_of(target, occlum):
        plan = replace(plan, searched=replace(plan.searched, elsewhere=()))
    else:
        plan = replace(plan, findings=tuple(filterfalse(is_for_others, plan.findings)))
    findings = findings_of(target, plan.findings, occlum)
    await tell(findings, **implicitly())
    with image_errors(request.address):
        findings.raise_errors()
    with quiet_gc():
        manifest, tree = texts_of(request.address, plan)
        return Image(request.address, manifest.digest, tree, manifest, plan, findings.told)


@rule(desc="Make an image layer")
async def make_layer(request: LayerRequest) -> Layer:
    made: list[FileEntry | SymlinkEntry | Directory] = []
    for entry in request.entries:
        if entry.kind == FILE:
            digest = request.digests[request.sha256[entry.source]]
            made.append(FileEntry(entry.path, digest, bool(entry.mode & 0o100)))
        elif entry.kind == DIR:
            made.append(Directory(entry.path))
        else:
            made.append(SymlinkEntry(entry.path, entry.target))
    return Layer(await create_digest(CreateDigest(made)))


@rule(desc="Collect the content of an image")
async def image_content(
    request: ImageContentRequest, places: DistPlaces, named_caches_dir: NamedCachesDirOption
) -> ImageContent:
    image = await make_image(ImageRequest(request.address), **implicitly())
    digests = image.plan.project
    of = str(image.address)
    contents = image.plan.host_contents(of)
    host = () if request.is_whole or places.executes_remotely else image.plan.host_files()
    if host:
        await check_host(image.plan, of)
    else:
        ingested = await host_contents(contents)
        digests = {**digests, **ingested.digests}
    with quiet_gc():
        requests = _layer_requests(image, digests)
    layers = await concurrently(make_layer(request) for request in requests)
    digest = await merge_digests(MergeDigests(layer.digest for layer in layers))
    rows = FileContent(TABLE, table_json(host))
    awaits = awaited(contents) if host else ()
    table = await digest_of([rows, *awaits])
    if not host:
        return ImageContent(digest, table, FrozenDict({}))
    link_sysroot(named_caches_dir, image.plan.sysroot.root)
    return ImageContent(digest, table, SYSROOT_CACHES)


async def try_image_process(process: Process, address: Address) -> FallibleProcessResult | None:
    """What a process comes to that takes an image's contents; None and errors as of try_process."""
    plan = (await make_image(ImageRequest(address), **implicitly())).plan
    return await try_process(process, plan.host_contents(str(address)))


async def image_of(target: Target, field_type: type[OneAddressField]) -> Image | None:
    """The image of the `occlum_image` that a field names, None where it names nothing."""
    image = await named_target(target, field_type)
    if image is None:
        return None
    if not image.has_field(ImageBomsField):
        raise invalid_target(
            f"The {field_type.alias!r} field in target {target.address} must be an `occlum_image`, "
            f"but {image.address} is a `{image.alias}`."
        )
    return await make_image(ImageRequest(image.address), **implicitly())


def _layer_requests(image: Image, digests: Mapping[str, FileDigest]) -> list[LayerRequest]:
    """The layers of what is in the store."""
    slices: dict[tuple[str, str], list[Entry]] = {}
    for entry in image.plan.entries:
        if entry.path and (entry.kind != FILE or image.plan.sha256[entry.source] in digests):
            key = entry.origin.place.file, entry.path.rpartition("/")[0]
            slices.setdefault(key, []).append(entry)
    rows = image.manifest.rows
    return [
        LayerRequest(
            hashlib.sha256("".join(rows[entry.path] for entry in entries).encode()).hexdigest(),
            tuple(entries),
            image.plan.sha256,
            digests,
        )
        for _, entries in sorted(slices.items())
    ]


def rules() -> Iterable[Rule]:
    return collect_rules()
