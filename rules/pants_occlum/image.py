"""The image as nodes: a layer for each BOM, their union, its manifest and its digest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address, Addresses, UnparsedAddressInputs
from pants.engine.fs import (
    CreateDigest,
    Digest,
    Directory,
    FileDigest,
    FileEntry,
    MergeDigests,
    SymlinkEntry,
)
from pants.engine.internals.native_engine import EMPTY_DIGEST
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule
from pants.engine.target import Target, WrappedTarget, WrappedTargetRequest
from pants.util.frozendict import FrozenDict

from occlum_build.image.entries import DIR, FILE, Entry
from occlum_build.image.manifest import (
    canonical_json,
    image_digest,
    manifest_of,
    without_provenance,
)
from pants_occlum.planning import PlannedImage, PlanRequest
from pants_occlum.subsystem import OcclumSubsystem
from pants_occlum.target_types import AllowMissingField, ImageBomsField
from pants_occlum.util_rules.dist_tree import TreeEntry
from pants_occlum.util_rules.quiet_gc import quiet_gc
from pants_occlum.util_rules.sysroot import IngestedBlobs, SysrootIngest


@dataclass(frozen=True)
class ImageRequest:
    address: Address


@dataclass(frozen=True)
class LayerRequest:
    """The slice of a plan that one BOM brings: a recipe of paths and digests."""

    files: tuple[FileEntry, ...]
    links: tuple[SymlinkEntry, ...]
    directories: tuple[Directory, ...]


@dataclass(frozen=True)
class Layer:
    digest: Digest


@dataclass(frozen=True)
class Image:
    """An image: all its entries below one digest, with the modes that a digest loses.

    `identity` is the canonical manifest without provenance, and `name` the image digest, its
    SHA-256: nodes above an image are keyed by them, not by why an entry is there.
    """

    name: str
    digest: Digest
    tree: tuple[TreeEntry, ...]
    manifest: bytes
    identity: bytes
    plan: PlannedImage

    @property
    def size_bytes(self) -> int:
        return sum(entry.size for entry in self.tree)


@rule(desc="Make an image layer")
async def make_layer(request: LayerRequest) -> Layer:
    entries: list[FileEntry | SymlinkEntry | Directory] = [*request.files, *request.links]
    entries.extend(request.directories)
    return Layer(await Get(Digest, CreateDigest(entries)) if entries else EMPTY_DIGEST)


async def _plan_request(target: Target) -> PlanRequest:
    boms = await Get(
        Addresses, UnparsedAddressInputs, target[ImageBomsField].to_unparsed_address_inputs()
    )
    return PlanRequest(target.address, tuple(boms), tuple(target[AllowMissingField].value or ()))


@rule(desc="Make an image")
async def make_image(request: ImageRequest, occlum: OcclumSubsystem) -> Image:
    target = (await Get(WrappedTarget, WrappedTargetRequest(request.address, "an image"))).target
    plan = await Get(PlannedImage, PlanRequest, await _plan_request(target))
    ingested = await Get(IngestedBlobs, SysrootIngest(occlum.sysroot, plan.host))
    digests = FrozenDict({**plan.project, **ingested.digests})
    with quiet_gc():
        requests = _layer_requests(plan, digests)
    layers = await MultiGet(Get(Layer, LayerRequest, layer) for layer in requests)
    digest = await Get(Digest, MergeDigests(layer.digest for layer in layers))
    with quiet_gc():
        manifest = manifest_of(plan.entries, plan.sha256.__getitem__)
        return Image(
            name=image_digest(manifest),
            digest=digest,
            tree=tuple(_tree_entry(entry, plan) for entry in plan.entries if entry.path),
            manifest=canonical_json(manifest),
            identity=canonical_json(without_provenance(manifest)),
            plan=plan,
        )


def _layer_requests(plan: PlannedImage, digests: FrozenDict[str, FileDigest]) -> list[LayerRequest]:
    by_bom: dict[str, list[Entry]] = {}
    for entry in plan.entries:
        by_bom.setdefault(entry.origin.place.file, []).append(entry)
    return [_layer_request(by_bom[bom], plan, digests) for bom in sorted(by_bom)]


def _layer_request(
    entries: Iterable[Entry], plan: PlannedImage, digests: FrozenDict[str, FileDigest]
) -> LayerRequest:
    files: list[FileEntry] = []
    links: list[SymlinkEntry] = []
    directories: list[Directory] = []
    for entry in entries:
        if entry.kind == FILE:
            digest = digests[plan.sha256[entry.source]]
            files.append(FileEntry(entry.path, digest, bool(entry.mode & 0o100)))
        elif entry.kind != DIR:
            links.append(SymlinkEntry(entry.path, entry.target))
        elif entry.path:
            directories.append(Directory(entry.path))
    return LayerRequest(tuple(files), tuple(links), tuple(directories))


def _tree_entry(entry: Entry, plan: PlannedImage) -> TreeEntry:
    sha256 = plan.sha256[entry.source] if entry.kind == FILE else ""
    return TreeEntry(entry.path, entry.kind, entry.mode, sha256, entry.size, entry.target)


def rules() -> Iterable[Rule]:
    return collect_rules()
