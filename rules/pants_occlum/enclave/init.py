"""The program that `init` of an enclave is: a file of the project, or what a target makes."""

from __future__ import annotations

from pants.core.goals.package import EnvironmentAwarePackageRequest, PackageFieldSet
from pants.core.target_types import FileSourceField, ResourceSourceField
from pants.core.util_rules.source_files import SourceFilesRequest
from pants.engine.addresses import UnparsedAddressInputs
from pants.engine.fs import FileEntry, PathGlobs
from pants.engine.target import FieldSetsPerTargetRequest, SourcesField, Target

from occlum_build.shown import some
from pants_occlum.compat.by_name import implicitly
from pants_occlum.compat.pants_rules import (
    determine_source_files,
    environment_aware_package,
    find_valid_field_sets,
    get_digest_entries,
    resolve_targets,
)
from pants_occlum.enclave.target_types import EnclaveInitField
from pants_occlum.invalid import invalid_target
from pants_occlum.project_paths import literal


async def init_of(target: Target) -> FileEntry | None:
    """The file of the program, None where the field is not given; an error of Pants if not one."""
    field = target[EnclaveInitField]
    path = field.file_path
    if path is not None:
        entries = await get_digest_entries(**implicitly(PathGlobs([literal(path)])))
        files = [one for one in entries if isinstance(one, FileEntry)]
        if not files:
            raise invalid_target(
                f"The {field.alias!r} field in target {target.address} names {path}, and there is "
                "no such file. The address of a target that makes it has a colon, as `:init`."
            )
        return files[0]
    addresses = field.to_unparsed_address_inputs()
    named = await resolve_targets(**implicitly({addresses: UnparsedAddressInputs}))
    if not named:
        return None
    if any(one.address == target.address for one in named):
        raise invalid_target(
            f"The {field.alias!r} field in target {target.address} names the enclave itself. The "
            "program that it starts with is made by another target, or is a file."
        )
    files = await _made_by(named)
    if len(files) != 1:
        found = some([one.path for one in files]) or "none"
        raise invalid_target(
            f"The {field.alias!r} field in target {target.address} must name a target that makes "
            f"one file, but {', '.join(one.address.spec for one in named)} makes {len(files)}: "
            f"{found}."
        )
    return files[0]


async def _made_by(targets: tuple[Target, ...]) -> list[FileEntry]:
    """The files that targets are packaged as, or else have or make as sources."""
    request = FieldSetsPerTargetRequest(PackageFieldSet, targets)
    field_sets = (await find_valid_field_sets(request, **implicitly())).field_sets
    if field_sets:
        package = await environment_aware_package(EnvironmentAwarePackageRequest(field_sets[0]))
        digest = package.digest
    else:
        sources = await determine_source_files(
            SourceFilesRequest(
                [one.get(SourcesField) for one in targets],
                for_sources_types=(FileSourceField, ResourceSourceField),
                enable_codegen=True,
            )
        )
        digest = sources.snapshot.digest
    entries = await get_digest_entries(digest)
    return [one for one in entries if isinstance(one, FileEntry)]
