"""`package` for `oci_image`: the layout, its archive, and the digest that names the image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact
from pants.engine.fs import AddPrefix, CreateDigest, FileContent, MergeDigests
from pants.engine.rules import Rule
from pants.engine.target import FieldSet
from pants.util.strutil import pluralize

from occlum_build.shown import listed
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.compat.pants_rules import add_prefix, create_digest, merge_digests
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.dist.packaged import Packaged
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.stored import StoredRequest, check_stored
from pants_occlum.dist.sync import sync_tree
from pants_occlum.logs import logger_of
from pants_occlum.oci.image import (
    ARCHIVE,
    OciArchiveRequest,
    OciRequest,
    archive_layout,
    make_oci_layout,
)
from pants_occlum.oci.target_types import OciFormatsField

logger = logger_of(__name__)

LAYOUT, DIGEST = "layout", "oci.digest"


@dataclass(frozen=True)
class OciFieldSet(FieldSet):
    required_fields = (OciFormatsField,)

    formats: OciFormatsField
    output_path: DistPathField


# Not memoised, so that a layout that was deleted from dist comes back in the next run.
@_uncacheable_rule
async def package_oci(field_set: OciFieldSet, places: DistPlaces) -> Packaged:
    output = field_set.output_path.in_dist(places)
    layout = await make_oci_layout(OciRequest(field_set.address), **implicitly())
    formats = field_set.formats.value or ()
    name = FileContent(DIGEST, f"{layout.name}\n".encode())
    digests, names = [await create_digest(CreateDigest([name]))], [DIGEST]
    if "archive" in formats:
        archive = await archive_layout(
            OciArchiveRequest(layout.tree, layout.is_shared, str(field_set.address)), **implicitly()
        )
        digests.append(archive.digest)
        names.append(ARCHIVE)
    trees = [f"{output}/{LAYOUT}"] if "layout" in formats else []
    if trees:
        await sync_tree(places, trees[0], layout.tree)
    layers = pluralize(layout.layer_count, "layer", include_count=True)
    logger.info("%s: OCI image %s, %s", field_set.address, layout.name, layers)
    merged = await merge_digests(MergeDigests(digests))
    stored = await check_stored(StoredRequest(merged), **implicitly())
    return Packaged(
        BuiltPackage(
            await add_prefix(AddPrefix(stored.digest, output)),
            (
                *(BuiltPackageArtifact(f"{output}/{name}") for name in names),
                *places.wrote(*trees),
            ),
        ),
        gives=listed(names),
        lacks="" if "archive" in formats else f'add "archive" to its `formats`, for {ARCHIVE}',
    )


def rules() -> Iterable[Rule]:
    return collect_rules()
