"""`package` for `rune_bundle`: the bundle's directory, which rune and runc run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.goals.package import BuiltPackage
from pants.engine.fs import EMPTY_DIGEST
from pants.engine.rules import Rule
from pants.engine.target import FieldSet

from occlum_build.oci.config import CONFIG, ROOTFS
from occlum_build.oci.rootfs import MOUNT_POINTS
from occlum_build.sources.model import DIR
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.dist.digest import file_of, store_files
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.dist.packaged import Packaged
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.sync import sync_tree
from pants_occlum.image.planned import explain_missing, host_copies
from pants_occlum.oci.bundle import BundleRequest, make_bundle
from pants_occlum.oci.target_types import BundleArgsField

BUNDLE = "bundle"


@dataclass(frozen=True)
class BundleFieldSet(FieldSet):
    required_fields = (BundleArgsField,)

    args: BundleArgsField
    output_path: DistPathField


@dataclass(frozen=True)
class _WriteBundle:
    """`output` is where below dist."""

    field_set: BundleFieldSet
    output: str


# Not memoised, so that a bundle that was deleted from dist comes back in the next run.
@_uncacheable_rule
async def write_bundle(request: _WriteBundle, places: DistPlaces) -> Packaged:
    field_set, output = request.field_set, request.output
    bundle = await make_bundle(BundleRequest(field_set.address), **implicitly())
    files = await store_files({CONFIG: bundle.config})
    tree = [file_of(CONFIG, 0o644, files[CONFIG]), *_below_rootfs(bundle.rootfs.tree)]
    plan = bundle.rootfs.plan
    host = await host_copies(plan, str(field_set.address)) if plan is not None else None
    await sync_tree(places, f"{output}/{BUNDLE}", tree, host, bundle.rootfs.packed)
    return Packaged(
        BuiltPackage(EMPTY_DIGEST, places.wrote(f"{output}/{BUNDLE}")),
        gives="nothing",
        lacks="a bundle is a directory of dist/ alone: name an `oci_image` of the same instead",
    )


# Of a content that is missing Pants tells only who asks for the rule that asked for the content.
@_uncacheable_rule
async def package_bundle(field_set: BundleFieldSet, places: DistPlaces) -> Packaged:
    request = _WriteBundle(field_set, field_set.output_path.in_dist(places))
    try:
        return await write_bundle(request, **implicitly())
    except Exception as error:  # noqa: BLE001 - whatever Pants raises, if it names a content
        bundle = await make_bundle(BundleRequest(field_set.address), **implicitly())
        raise await explain_missing(error, bundle.rootfs.plan, field_set.address) from None


def _below_rootfs(tree: Iterable[TreeEntry]) -> list[TreeEntry]:
    """The tree as `rootfs`, with the mount points: a runtime then makes nothing in dist."""
    by_path = {entry.path: entry for entry in tree}
    for path in MOUNT_POINTS[:3]:
        by_path.setdefault(path, TreeEntry(path, DIR, 0o755))
    below = [entry._replace(path=f"{ROOTFS}/{path}") for path, entry in sorted(by_path.items())]
    return [TreeEntry(ROOTFS, DIR, 0o755), *below]


def rules() -> Iterable[Rule]:
    return collect_rules()
