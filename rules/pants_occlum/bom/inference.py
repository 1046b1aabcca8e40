"""Infers what BOMs depend on: the BOMs they include, and the project's files that they name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.fs import PathGlobs
from pants.engine.internals.graph import OwnersRequest
from pants.engine.rules import Rule
from pants.engine.target import (
    FieldSet,
    InferDependenciesRequest,
    InferredDependencies,
    WrappedTargetRequest,
)
from pants.engine.unions import UnionRule
from pants.util.logging import LogLevel

from pants_occlum.bom.on_disk import OnDiskRequest, boms_on_disk
from pants_occlum.bom.roots import BomRoot, BomRootRequest, bom_root, root_in_build_file
from pants_occlum.bom.target_types import (
    BomDependenciesField,
    BomSourceField,
    FilesDependenciesField,
    FilesField,
)
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import find_owners, path_globs_to_paths, resolve_target
from pants_occlum.project_paths import copy_globs, literal, project_copies
from pants_occlum.subsystem import OcclumSubsystem


@dataclass(frozen=True)
class BomInferenceFieldSet(FieldSet):
    required_fields = (BomSourceField, BomDependenciesField)

    dependencies: BomDependenciesField


class InferBomDependencies(InferDependenciesRequest[BomInferenceFieldSet]):
    infer_from = BomInferenceFieldSet


@dataclass(frozen=True)
class FilesInferenceFieldSet(FieldSet):
    required_fields = (FilesField, FilesDependenciesField)

    dependencies: FilesDependenciesField


class InferFilesDependencies(InferDependenciesRequest[FilesInferenceFieldSet]):
    infer_from = FilesInferenceFieldSet


@dataclass(frozen=True)
class OwnersNamedBy:
    root: BomRoot


@dataclass(frozen=True)
class NamedOwners:
    """The targets that own what a root BOM names in the project, sorted."""

    addresses: tuple[Address, ...]


@rule(desc="Find the owners of what BOMs name", level=LogLevel.DEBUG)
async def named_owners(request: OwnersNamedBy) -> NamedOwners:
    root = request.root
    found = await boms_on_disk(OnDiskRequest(root))
    globs = [literal(path) for path in found.files if path != root.bom]
    if not root.loader_config.startswith("/"):
        globs.append(literal(root.loader_config))
    globs += copy_globs(project_copies(found.operations))
    paths = await path_globs_to_paths(PathGlobs(globs))
    owners = await find_owners(OwnersRequest(tuple(map(literal, paths.files))), **implicitly())
    return NamedOwners(tuple(sorted(one for one in owners if one != root.address)))


@rule(desc="Infer the dependencies of a BOM", level=LogLevel.DEBUG)
async def infer_bom_dependencies(request: InferBomDependencies) -> InferredDependencies:
    root = await bom_root(BomRootRequest(request.field_set.address), **implicitly())
    owners = await named_owners(OwnersNamedBy(root))
    return InferredDependencies(owners.addresses)


@rule(desc="Infer the dependencies of an occlum_files target", level=LogLevel.DEBUG)
async def infer_files_dependencies(
    request: InferFilesDependencies, occlum: OcclumSubsystem
) -> InferredDependencies:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.field_set.address, "dependency inference"), **implicitly()
    )
    # Its packages are dependencies by a field of their own, and cannot be asked for from here.
    owners = await named_owners(OwnersNamedBy(root_in_build_file(wrapped.target, (), occlum)))
    return InferredDependencies(owners.addresses)


def rules() -> Iterable[Rule | UnionRule]:
    return (
        *collect_rules(),
        UnionRule(InferDependenciesRequest, InferBomDependencies),
        UnionRule(InferDependenciesRequest, InferFilesDependencies),
    )
