"""`package` for `occlum_image`: the tree, its manifest, its digest, and an archive if asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact
from pants.engine.fs import AddPrefix, CreateDigest, FileContent, MergeDigests
from pants.engine.rules import Rule
from pants.engine.target import FieldSet, WrappedTargetRequest
from pants.util.strutil import pluralize

from occlum_build.shown import listed
from pants_occlum.bom.target_types import ImageBomsField
from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    merge_digests,
    resolve_target,
)
from pants_occlum.dist.memory import glance_at
from pants_occlum.dist.packaged import Packaged
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.stored import StoredRequest, check_stored
from pants_occlum.dist.sync import sync_tree
from pants_occlum.findings import findings_of, tell
from pants_occlum.image.nodes import ImageRequest, make_image
from pants_occlum.image.planned import explain_missing, host_copies
from pants_occlum.image.report import REPORT, write_report
from pants_occlum.image.sbom import SbomsRequest, write_sboms
from pants_occlum.image.tar import ImageTarRequest, archive_image
from pants_occlum.image.target_types import (
    FormatsField,
    ImageOutputPathField,
    ReportField,
    SbomField,
)
from pants_occlum.image.written import sync_manifest
from pants_occlum.logs import logger_of
from pants_occlum.subsystem import OcclumSubsystem
from pants_occlum.sysroot.glance import Glance

logger = logger_of(__name__)


@dataclass(frozen=True)
class ImageFieldSet(FieldSet):
    required_fields = (ImageBomsField,)

    boms: ImageBomsField
    formats: FormatsField
    sbom: SbomField
    report: ReportField
    output_path: ImageOutputPathField


@dataclass(frozen=True)
class _WriteImage:
    """`output` is where below dist."""

    field_set: ImageFieldSet
    output: str


async def _write(
    request: _WriteImage, places: DistPlaces, occlum: OcclumSubsystem, glance: Glance | None
) -> Packaged:
    field_set, output = request.field_set, request.output
    image = await make_image(ImageRequest(field_set.address), **implicitly())
    wrapped = await resolve_target(WrappedTargetRequest(image.address, "an image"), **implicitly())
    findings = findings_of(wrapped.target, image.plan.needs_library_path(()), occlum)
    await tell(findings, **implicitly())
    formats = field_set.formats.value or ()
    digest = FileContent("image.digest", f"sha256:{image.name}\n".encode())
    digests, names = [await create_digest(CreateDigest([digest]))], [digest.path]
    sbom = tuple(sorted(set(field_set.sbom.value or ())))
    if sbom:
        written = await write_sboms(SbomsRequest(field_set.address, sbom))
        digests.append(written.digest)
        names += written.files
    if field_set.report.value:
        digests.append(await write_report(field_set.address, image, (*image.told, *findings.told)))
        names.append(REPORT)
    if "tar" in formats:
        archive = await archive_image(ImageTarRequest(field_set.address), **implicitly())
        digests.append(archive.digest)
        names.append("image.tar")
    trees = [f"{output}/image"] if "dir" in formats else []
    if trees:
        host = await host_copies(image.plan, str(image.address))
        await sync_tree(places, trees[0], image.tree, host, glance=glance)
    manifest = sync_manifest(places, output, image)
    logger.info(
        "%s: image sha256:%s, %s %s, %s bytes",
        field_set.address,
        image.name,
        f"{len(image.tree):,}",
        pluralize(len(image.tree), "entry", include_count=False),
        f"{image.size_bytes:,}",
    )
    merged = await merge_digests(MergeDigests(digests))
    stored = await check_stored(StoredRequest(merged), **implicitly())
    return Packaged(
        BuiltPackage(
            await add_prefix(AddPrefix(stored.digest, output)),
            (
                *(BuiltPackageArtifact(f"{output}/{name}") for name in names),
                *places.wrote(*trees, manifest),
            ),
        ),
        gives=listed(names),
        lacks="" if "tar" in formats else 'add "tar" to its `formats`: then image.tar is given too',
    )


# Not memoised, so that a tree that was deleted from dist comes back in the next run.
@_uncacheable_rule
async def write_image(
    request: _WriteImage, places: DistPlaces, occlum: OcclumSubsystem
) -> Packaged:
    with glance_at(places, f"{request.output}/image") as glance:  # while the host is looked at
        return await _write(request, places, occlum, glance)


# Of a content that is missing Pants tells only who asks for the rule that asked for the content.
@_uncacheable_rule
async def package_image(field_set: ImageFieldSet, places: DistPlaces) -> Packaged:
    request = _WriteImage(field_set, field_set.output_path.in_dist(places))
    try:
        return await write_image(request, **implicitly())
    except Exception as error:  # noqa: BLE001 - whatever Pants raises, if it names a content
        image = await make_image(ImageRequest(field_set.address), **implicitly())
        raise await explain_missing(error, image.plan, field_set.address) from None


def rules() -> Iterable[Rule]:
    return collect_rules()
