"""`package` for `occlum_rootfs`: the layers of a runtime boot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.goals.package import BuiltPackage, BuiltPackageArtifact
from pants.engine.fs import CreateDigest, FileContent
from pants.engine.rules import Rule
from pants.engine.target import FieldSet

from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.compat.pants_rules import create_digest
from pants_occlum.dist.memory import glance_at
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.dist.packaged import Packaged
from pants_occlum.dist.places import DistPlaces
from pants_occlum.dist.sync import sync_tree
from pants_occlum.enclave.boot_types import RootfsImageField
from pants_occlum.enclave.rootfs import BootRootfsRequest, make_boot_rootfs
from pants_occlum.image.written import sync_manifest
from pants_occlum.logs import logger_of

logger = logger_of(__name__)

LOWER, UPPER = "lower", "upper"


@dataclass(frozen=True)
class RootfsFieldSet(FieldSet):
    required_fields = (RootfsImageField,)

    image: RootfsImageField
    output_path: DistPathField


# Not memoised, so that a layer that was deleted from dist comes back in the next run.
@_uncacheable_rule
async def package_rootfs(field_set: RootfsFieldSet, places: DistPlaces) -> Packaged:
    output = field_set.output_path.in_dist(places)
    lower = f"{output}/{LOWER}"
    with glance_at(places, lower) as glance:  # while the host is looked at
        rootfs = await make_boot_rootfs(BootRootfsRequest(field_set.address), **implicitly())
        await sync_tree(places, lower, rootfs.lower, packed=rootfs.packed, glance=glance)
    await sync_tree(places, f"{output}/{UPPER}", ())
    manifest = sync_manifest(places, output, rootfs.image)
    logger.info("%s: image sha256:%s, encrypted", field_set.address, rootfs.image.name)
    name = FileContent(f"{output}/image.digest", f"sha256:{rootfs.image.name}\n".encode())
    return Packaged(
        BuiltPackage(
            await create_digest(CreateDigest([name])),
            (
                BuiltPackageArtifact(name.path),
                *places.wrote(lower, f"{output}/{UPPER}", manifest),
            ),
        ),
        gives="image.digest",
        lacks=f"its layers are encrypted, in no cache, and so in dist/ alone: take {LOWER}/ there",
    )


def rules() -> Iterable[Rule]:
    return collect_rules()
