"""`package` for all targets that it makes into directories of dist.

One rule for all of them: each further kind of `PackageFieldSet` makes Pants solve a twentieth more
of what builds need, at each start (docs/architecture.md).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.goals.package import BuiltPackage, PackageFieldSet
from pants.engine.internals.session import RunId
from pants.engine.rules import Rule
from pants.engine.target import WrappedTargetRequest
from pants.engine.unions import UnionRule

from pants_occlum.compat.by_name import _uncacheable_rule, collect_rules, implicitly
from pants_occlum.compat.pants_rules import EnvironmentField, resolve_target
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.enclave.goals.package import EnclaveFieldSet, package_enclave
from pants_occlum.enclave.goals.package_rootfs import RootfsFieldSet, package_rootfs
from pants_occlum.findings import findings_of, tell
from pants_occlum.image.goals.package import ImageFieldSet, package_image
from pants_occlum.oci.goals.package_bundle import BundleFieldSet, package_bundle
from pants_occlum.oci.goals.package_image import OciFieldSet, package_oci
from pants_occlum.process.loaded_sources import LOADED
from pants_occlum.subsystem import OcclumSubsystem
from pants_occlum.takers import untaken_problems


@dataclass(frozen=True)
class DistFieldSet(PackageFieldSet):
    required_fields = (DistPathField,)

    output_path: DistPathField
    environment: EnvironmentField


# Not memoised, so that what was deleted from dist comes back in the next run.
@_uncacheable_rule
async def package(field_set: DistFieldSet, run_id: RunId, occlum: OcclumSubsystem) -> BuiltPackage:
    LOADED.require_unchanged(run_id)
    request = WrappedTargetRequest(field_set.address, "a package")
    target = (await resolve_target(request, **implicitly())).target
    if ImageFieldSet.is_applicable(target):
        packaged = await package_image(ImageFieldSet.create(target), **implicitly())
    elif EnclaveFieldSet.is_applicable(target):
        packaged = await package_enclave(EnclaveFieldSet.create(target), **implicitly())
    elif RootfsFieldSet.is_applicable(target):
        packaged = await package_rootfs(RootfsFieldSet.create(target), **implicitly())
    elif BundleFieldSet.is_applicable(target):
        packaged = await package_bundle(BundleFieldSet.create(target), **implicitly())
    else:
        packaged = await package_oci(OciFieldSet.create(target), **implicitly())
    if packaged.lacks:
        problems = await untaken_problems(target.address, packaged.gives, packaged.lacks)
        if problems:
            await tell(findings_of(target, problems, occlum), **implicitly())
    return packaged.package


def rules() -> Iterable[Rule | UnionRule]:
    return (*collect_rules(), UnionRule(PackageFieldSet, DistFieldSet))
