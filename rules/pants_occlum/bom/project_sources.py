"""The project's files that BOMs may name: sources of their dependencies, and built packages."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote

from pants.core.goals.package import EnvironmentAwarePackageRequest, PackageFieldSet
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.core.util_rules.distdir import DistDir
from pants.core.util_rules.source_files import SourceFilesRequest
from pants.engine.addresses import Address, Addresses, UnparsedAddressInputs
from pants.engine.fs import FileDigest, FileEntry
from pants.engine.rules import Rule
from pants.engine.target import (
    Dependencies,
    DependenciesRequest,
    FieldSetsPerTargetRequest,
    SourcesField,
    Target,
)
from pants.engine.unions import UnionMembership
from pants.util.frozendict import FrozenDict

from pants_occlum.bom.cycles import AcyclicRequest, require_acyclic
from pants_occlum.bom.target_types import PackagesField
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import (
    determine_source_files,
    environment_aware_package,
    find_valid_field_sets,
    get_digest_entries,
    resolve_targets,
)
from pants_occlum.wheels.installed import InstalledWheels, installed_wheels
from pants_occlum.wheels.requests import WheelsOf
from pants_occlum.wheels.target_types import WheelsLockfileField

# As what a target's files may be made.
_GENERATED = (FileSourceField, ResourceSourceField)


@dataclass(frozen=True)
class ProjectSourcesRequest:
    """The BOM targets whose dependencies are wanted."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True)
class ProjectFile:
    """is_elf_or_zip: as of a SourceStat, None where nobody looked."""

    digest: FileDigest
    is_executable: bool
    is_elf_or_zip: bool | None = None


@dataclass(frozen=True)
class ProjectFileRequest:
    """One of the files that ProjectSources of these addresses have."""

    addresses: tuple[Address, ...]
    path: str


@dataclass(frozen=True)
class ProjectSources:
    """Path below the build root -> file.

    packages: the paths of the artefacts that each address of a package built, or of what else makes
    files, as a `shell_command`: files or directories.
    deferred: further files, of which only the path is told.
    """

    files: FrozenDict[str, ProjectFile]
    packages: FrozenDict[Address, tuple[str, ...]]
    deferred: tuple[ProjectFileRequest, ...] = ()

    def paths(self) -> tuple[str, ...]:
        return tuple(sorted([*self.files, *(one.path for one in self.deferred)]))


@dataclass(frozen=True)
class DeferredSourcesRequest:
    """The same, with some files deferred: who asks is not run again when only those change."""

    addresses: tuple[Address, ...]
    deferred: tuple[str, ...]


@dataclass(frozen=True)
class _Reached:
    """The targets that a BOM depends on: those with sources, and those that are built first.

    generators: those whose files Pants makes or fetches. wheels: those of the BOMs themselves that
    are wheels.
    """

    sources: tuple[Target, ...]
    generators: tuple[Target, ...]
    packages: tuple[PackageFieldSet, ...]
    wheels: tuple[Address, ...]


@rule(desc="Find what BOMs depend on")
async def reach(request: ProjectSourcesRequest, union_membership: UnionMembership) -> _Reached:
    level = tuple(await resolve_targets(**implicitly(Addresses(request.addresses))))
    seen = {target.address: target for target in level}
    wheels = tuple(one.address for one in level if one.has_field(WheelsLockfileField))
    packages: dict[Address, PackageFieldSet] = {}
    while level:
        dependencies = await concurrently(
            resolve_targets(**implicitly(DependenciesRequest(target.get(Dependencies))))
            for target in level
        )
        named = await concurrently(
            resolve_targets(
                **implicitly(
                    {target[PackagesField].to_unparsed_address_inputs(): UnparsedAddressInputs}
                )
            )
            for target in level
            if target.has_field(PackagesField)
        )
        found = {
            target.address: target
            for targets in (*dependencies, *named)
            for target in targets
            if target.address not in seen
        }
        seen.update(found)
        new = tuple(found.values())
        per_target = await find_valid_field_sets(
            FieldSetsPerTargetRequest(PackageFieldSet, new), **implicitly()
        )
        for target, field_sets in zip(new, per_target.collection):
            if field_sets:
                packages[target.address] = field_sets[0]
        # What a package is made of is not looked into: the artefact stands for it.
        level = tuple(target for target in new if target.address not in packages)
    sources: list[Target] = []
    generators: list[Target] = []
    for address, target in sorted(seen.items()):
        if address not in packages and target.has_field(SourcesField):
            is_made = _is_made(target.get(SourcesField), union_membership)
            (generators if is_made else sources).append(target)
    return _Reached(
        tuple(sources),
        tuple(generators),
        tuple(field_set for _, field_set in sorted(packages.items())),
        wheels,
    )


@rule(desc="Collect the project's files for BOMs")
async def project_sources(request: ProjectSourcesRequest, dist: DistDir) -> ProjectSources:
    reached = await reach(request, **implicitly())
    built_first = [one.address for one in reached.packages]
    built_first += [one.address for one in reached.generators]
    await require_acyclic(AcyclicRequest(request.addresses, tuple(built_first)))
    sources = await determine_source_files(
        SourceFilesRequest(
            (target.get(SourcesField) for target in reached.sources), enable_codegen=False
        )
    )
    generated = await concurrently(
        determine_source_files(
            SourceFilesRequest(
                [target.get(SourcesField)], for_sources_types=_GENERATED, enable_codegen=True
            )
        )
        for target in reached.generators
    )
    built = await concurrently(
        environment_aware_package(EnvironmentAwarePackageRequest(field_set))
        for field_set in reached.packages
    )
    entries = await get_digest_entries(sources.snapshot.digest)
    made = await concurrently(get_digest_entries(one.snapshot.digest) for one in generated)
    artefacts = await concurrently(get_digest_entries(one.digest) for one in built)
    files = _files(entries, "")
    installed = await concurrently(
        installed_wheels(WheelsOf(address), **implicitly()) for address in reached.wheels
    )
    for address, wheels in zip(reached.wheels, installed):
        files.update(_files_of_wheels(address, wheels))
    packages: dict[Address, tuple[str, ...]] = {}
    for target, stored in zip(reached.generators, made):
        found = _files(stored, "")
        files.update(found)
        packages[target.address] = _tops(found, target.address.spec_path)
    for field_set, package, stored in zip(reached.packages, built, artefacts):
        files.update(_files(stored, str(dist.relpath)))
        packages[field_set.address] = tuple(
            posixpath.join(str(dist.relpath), artefact.relpath)
            for artefact in package.artifacts
            if artefact.relpath
        )
    return ProjectSources(FrozenDict(sorted(files.items())), FrozenDict(sorted(packages.items())))


@rule
async def defer_sources(request: DeferredSourcesRequest) -> ProjectSources:
    whole = await project_sources(ProjectSourcesRequest(request.addresses), **implicitly())
    deferred = tuple(
        ProjectFileRequest(request.addresses, path)
        for path in request.deferred
        if path in whole.files
    )
    paths = {one.path for one in deferred}
    files = {path: file for path, file in whole.files.items() if path not in paths}
    return ProjectSources(FrozenDict(files), whole.packages, deferred)


@rule
async def project_file(request: ProjectFileRequest) -> ProjectFile:
    whole = await project_sources(ProjectSourcesRequest(request.addresses), **implicitly())
    return whole.files[request.path]


def wheel_directory(address: Address, distribution: str) -> str:
    """Where sources have the files of a distribution of an `occlum_wheels`, as in the image.

    There is no such directory in the project: no name in it can have been meant.
    """
    name = f"{address.target_name}{quote(address.parameters_repr, safe='@=,')}"
    return f"{address.spec_path}:{name}/{distribution.replace(' ', '-')}"


def _files_of_wheels(address: Address, wheels: InstalledWheels) -> dict[str, ProjectFile]:
    return {
        f"{wheel_directory(address, distribution)}/{path}": ProjectFile(
            file.digest, file.is_executable, None if file.may_hold_elf else False
        )
        for distribution, files in wheels.distributions.items()
        for path, file in files.items()
    }


def _is_made(field: SourcesField, union_membership: UnionMembership) -> bool:
    """Whether Pants makes the files of a field: of a `file` only where it has an `http_source`."""
    if isinstance(field, _GENERATED) and isinstance(field.value, str):
        return False
    return any(field.can_generate(one, union_membership) for one in _GENERATED)


def _tops(paths: Iterable[str], directory: str) -> tuple[str, ...]:
    """The files and directories that lie in a directory, or elsewhere in the build root."""
    below = f"{directory}/" if directory else ""
    tops = set()
    for path in paths:
        base = below if path.startswith(below) else ""
        tops.add(base + path[len(base) :].partition("/")[0])
    return tuple(sorted(tops))


def _files(entries: Iterable[object], below: str) -> dict[str, ProjectFile]:
    return {
        posixpath.join(below, entry.path): ProjectFile(entry.file_digest, entry.is_executable)
        for entry in entries
        if isinstance(entry, FileEntry)
    }


def rules() -> Iterable[Rule]:
    return collect_rules()
