"""From an `occlum_packages` target to what is asked of archives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pants.base.build_root import BuildRoot
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.core.util_rules.source_files import SourceFilesRequest
from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.fs import FileDigest, FileEntry
from pants.engine.rules import Rule
from pants.engine.target import (
    SourcesField,
    SpecialCasedDependencies,
    StringField,
    Target,
    WrappedTargetRequest,
)

from occlum_build.files.bounds import KEYRING_BYTES
from occlum_build.files.reading import too_large
from occlum_build.packages.config import MADE, ArchiveConfig, LocalDeb, PackagesRequest
from occlum_build.packages.paths import is_absolute
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    determine_source_files,
    get_digest_entries,
    resolve_target,
    resolve_targets,
)
from pants_occlum.invalid import invalid_field, invalid_target
from pants_occlum.packages.site_mirrors import mirror_of_project
from pants_occlum.packages.target_types import (
    ArchiveAllowExpiredField,
    ArchiveComponentsField,
    ArchiveKeyringField,
    ArchiveMirrorsField,
    ArchiveOnlyField,
    ArchiveSuitesField,
    PackagesArchivesField,
    PackagesDebsField,
    PackagesEssentialField,
    PackagesLinksField,
    PackagesLockfileField,
    PackagesMadeField,
    PackagesMergedUsrField,
    PackagesPackagesField,
    PackagesRecommendsField,
    PackagesWithoutField,
)
from pants_occlum.project_paths import project_path
from pants_occlum.project_texts import project_texts


@dataclass(frozen=True)
class PackagesOf:
    """An `occlum_packages` target."""

    address: Address


@dataclass(frozen=True)
class AskedPackages:
    """What a target asks for, its lock file below the build root, and the .debs of the project.

    archives: the address of each archive by the name that a lock file has for it.
    """

    request: PackagesRequest
    lockfile: str
    debs: Mapping[str, FileDigest]
    archives: Mapping[str, str]


async def _targets_of(target: Target, field_type: type[SpecialCasedDependencies]) -> list[Target]:
    addresses = target[field_type].to_unparsed_address_inputs()
    return list(await resolve_targets(**implicitly({addresses: UnparsedAddressInputs})))


def lockfile_of(target: Target) -> str:
    """The lock file of an `occlum_packages`, below the build root."""
    return _path_in_project(target, PackagesLockfileField)


def _path_in_project(target: Target, field_type: type[StringField]) -> str:
    value = target[field_type].value or ""
    path = project_path(value, target.address.spec_path) if value else ""
    if path in ("", "..") or path.startswith(("/", "../")):
        raise invalid_target(
            f"The {field_type.alias!r} field in target {target.address} must be a path below the "
            f"build root, not {value!r}."
        )
    return path


async def _archive(target: Target, build_root: str) -> ArchiveConfig:
    if not target[ArchiveMirrorsField].value:
        raise invalid_field(
            f"The 'mirrors' field in target {target.address} must name one mirror or more."
        )
    keyring = _path_in_project(target, ArchiveKeyringField)
    found = await project_texts([keyring], KEYRING_BYTES)
    if found.too_large:
        raise too_large(keyring, KEYRING_BYTES, "archive-signature")
    if not found.contents:
        raise invalid_target(
            f"The 'keyring' field in target {target.address} is {keyring}, and Pants sees no such "
            "file."
        )
    return ArchiveConfig(
        name=target.address.target_name,
        mirrors=tuple(
            mirror_of_project(one, build_root) for one in target[ArchiveMirrorsField].value or ()
        ),
        suites=tuple(target[ArchiveSuitesField].value or ()),
        components=tuple(target[ArchiveComponentsField].value or ()),
        keyring=found.contents[keyring],
        keyring_name=keyring,
        only=tuple(target[ArchiveOnlyField].value or ()),
        allow_expired=target[ArchiveAllowExpiredField].value,
    )


async def _debs(target: Target) -> dict[str, FileDigest]:
    sources = await determine_source_files(
        SourceFilesRequest(
            [one.get(SourcesField) for one in await _targets_of(target, PackagesDebsField)],
            for_sources_types=(FileSourceField, ResourceSourceField),
            enable_codegen=True,
        )
    )
    entries = await get_digest_entries(sources.snapshot.digest)
    return {
        one.path: one.file_digest
        for one in entries
        if isinstance(one, FileEntry) and one.path.endswith(".deb")
    }


@rule(desc="Read what a root of packages is made of")
async def asked_packages(request: PackagesOf, build_root: BuildRoot) -> AskedPackages:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "a root of packages"), **implicitly()
    )
    target = wrapped.target
    archives = await _targets_of(target, PackagesArchivesField)
    for one in archives:
        if not one.has_field(ArchiveKeyringField):
            raise invalid_target(
                f"The 'archives' field in target {target.address} takes `occlum_archive` targets, "
                f"and {one.address} is a `{one.alias}`."
            )
    names = Counter(one.address.target_name for one in archives)
    for name, count in names.items():
        if count > 1:
            raise invalid_target(
                f"The 'archives' field in target {target.address} has two archives named {name!r}: "
                "lock files name archives by their targets' names."
            )
    configs = [await _archive(one, build_root.path) for one in archives]
    debs = await _debs(target)
    made = tuple(target[PackagesMadeField].value or ())
    unknown = sorted(set(made) - set(MADE))
    if unknown:
        raise invalid_field(
            f"The 'made' field in target {target.address} has {unknown[0]!r}, and knows "
            f"{', '.join(map(repr, MADE))}."
        )
    links = dict(target[PackagesLinksField].value or {})
    for path in links:
        if not is_absolute(path):
            raise invalid_field(
                f"The 'links' field in target {target.address} has {path!r}, which is no absolute "
                "path without `.`, `..` and double slashes."
            )
    asked = PackagesRequest(
        name=target.address.spec,
        archives=tuple(configs),
        packages=tuple(target[PackagesPackagesField].value or ()),
        debs=tuple(
            LocalDeb(path, digest.fingerprint, digest.serialized_bytes_length, ())
            for path, digest in sorted(debs.items())
        ),
        without=tuple(target[PackagesWithoutField].value or ()),
        essential=target[PackagesEssentialField].value,
        recommends=target[PackagesRecommendsField].value,
        links=tuple(sorted(links.items())),
        made=made,
        merged_usr=target[PackagesMergedUsrField].value,
    )
    addresses = {one.address.target_name: one.address.spec for one in archives}
    return AskedPackages(asked, lockfile_of(target), debs, addresses)


def rules() -> Iterable[Rule]:
    return collect_rules()
