"""Pants' own rules as `Get`s, for a Pants that has no names to call them by: 2.17 to 2.22.

Each has the name that it has in current Pants, and of its parameters there the one that we give.
"""

from __future__ import annotations

from typing import TypeVar

from pants.core.goals.package import BuiltPackage, EnvironmentAwarePackageRequest
from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.addresses import Addresses, UnparsedAddressInputs
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestContents,
    DigestEntries,
    DigestSubset,
    MergeDigests,
    NativeDownloadFile,
    PathGlobs,
    Paths,
    RemovePrefix,
    Snapshot,
)
from pants.engine.internals.graph import Owners, OwnersRequest
from pants.engine.process import FallibleProcessResult, Process, ProcessResult
from pants.engine.target import (
    FieldSet,
    FieldSetsPerTarget,
    FieldSetsPerTargetRequest,
    Targets,
    WrappedTarget,
    WrappedTargetRequest,
)

from pants_occlum.compat.polyfill import of_pants

FS = TypeVar("FS", bound=FieldSet)


@of_pants
async def add_prefix(request: AddPrefix) -> Digest:
    raise NotImplementedError


@of_pants
async def create_digest(request: CreateDigest) -> Digest:
    raise NotImplementedError


@of_pants
async def determine_source_files(request: SourceFilesRequest) -> SourceFiles:
    raise NotImplementedError


@of_pants
async def digest_subset_to_digest(request: DigestSubset) -> Digest:
    raise NotImplementedError


@of_pants
async def digest_to_snapshot(digest: Digest) -> Snapshot:
    raise NotImplementedError


@of_pants
async def download_file(request: NativeDownloadFile) -> Digest:
    raise NotImplementedError


@of_pants
async def environment_aware_package(request: EnvironmentAwarePackageRequest) -> BuiltPackage:
    raise NotImplementedError


@of_pants
async def execute_process(request: Process) -> FallibleProcessResult:
    raise NotImplementedError


@of_pants
async def execute_process_or_raise() -> ProcessResult:
    raise NotImplementedError


@of_pants
async def find_owners(request: OwnersRequest) -> Owners:
    raise NotImplementedError


@of_pants
async def find_valid_field_sets(request: FieldSetsPerTargetRequest[FS]) -> FieldSetsPerTarget[FS]:
    raise NotImplementedError


@of_pants
async def get_digest_contents(digest: Digest) -> DigestContents:
    raise NotImplementedError


@of_pants
async def get_digest_entries(digest: Digest) -> DigestEntries:
    raise NotImplementedError


@of_pants
async def merge_digests(request: MergeDigests) -> Digest:
    raise NotImplementedError


@of_pants
async def path_globs_to_paths(request: PathGlobs) -> Paths:
    raise NotImplementedError


@of_pants
async def remove_prefix(request: RemovePrefix) -> Digest:
    raise NotImplementedError


@of_pants
async def resolve_target(request: WrappedTargetRequest) -> WrappedTarget:
    raise NotImplementedError


@of_pants
async def resolve_targets() -> Targets:
    raise NotImplementedError


@of_pants
async def resolve_unparsed_address_inputs(request: UnparsedAddressInputs) -> Addresses:
    raise NotImplementedError
