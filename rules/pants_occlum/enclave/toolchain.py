"""The toolchain of an enclave: Occlum's files, found in an installation or an archive."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pants.core.target_types import FileSourceField
from pants.core.util_rules.source_files import SourceFilesRequest
from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.fs import CreateDigest, Digest, FileDigest, FileEntry
from pants.engine.rules import Rule
from pants.engine.target import SourcesField, WrappedTargetRequest
from pants.util.frozendict import FrozenDict

from occlum_build.errors import OcclumError
from occlum_build.occlum.toolchain import (
    OCCLUM_DIR,
    VERSION_HEADER,
    missing,
    parse_version,
)
from occlum_build.occlum.toolchain_content import (
    HEADER_ROLE,
)
from occlum_build.shown import escaped, output_of
from pants_occlum.bom.knowledge import knowledge_of, settle, stored
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import (
    create_digest,
    determine_source_files,
    get_digest_contents,
    get_digest_entries,
    resolve_target,
    resolve_targets,
)
from pants_occlum.enclave.toolchain_places import (
    HEADER_FILE,
    Installation,
    find_files,
    wanted_files,
)
from pants_occlum.enclave.toolchain_types import (
    ToolchainArchiveField,
    ToolchainRootField,
    ToolchainSysrootField,
    ToolchainVersionField,
)
from pants_occlum.invalid import invalid_target
from pants_occlum.problems import InvalidEnclave, told_of
from pants_occlum.process.tool_process import ToolProcessRequest, prepare_tool_process
from pants_occlum.process.tool_result import run_tool
from pants_occlum.subsystem import OcclumSubsystem
from pants_occlum.sysroot.sysroots import Sysroot, SysrootOf, find_sysroot

HEADER = HEADER_ROLE
_OUTPUT = "toolchain"


@dataclass(frozen=True)
class ToolchainRequest:
    """`address` is that of an `occlum_toolchain`, None for the installed Occlum."""

    address: Address | None
    sgx_mode: str


@dataclass(frozen=True)
class ToolchainFile:
    """One of Occlum's files; `place` is where it lies below the root of a system."""

    place: str
    digest: FileDigest
    is_executable: bool


@dataclass(frozen=True)
class ToolchainArchive:
    """A tar archive of Occlum, the only file of its digest."""

    digest: Digest
    path: str


@dataclass(frozen=True)
class ToolchainFiles:
    """Occlum's files by role (occlum_build.occlum.toolchain), and their version."""

    version: str
    files: FrozenDict[str, ToolchainFile]
    archive: ToolchainArchive | None = None

    def entries(self, below: str, roles: Iterable[str]) -> list[FileEntry]:
        """The entries of a digest that holds these files at their places."""
        return [
            FileEntry(posixpath.join(below, file.place), file.digest, file.is_executable)
            for file in (self.files[role] for role in sorted(roles))
        ]


@dataclass(frozen=True)
class _Archive:
    archive: ToolchainArchive
    sgx_mode: str
    version: str
    address: Address  # for errors


@rule(desc="Find Occlum's toolchain where it is installed")
async def installed_toolchain(request: Installation) -> ToolchainFiles:
    try:
        known = await knowledge_of(request.sysroot or Sysroot(request.system))
        found, report = await settle(
            known, request.root, lambda sources, report: find_files(request, sources, report)
        )
    except OcclumError as error:
        if error.code != "sysroot-missing":
            raise
        problem = missing(HEADER_FILE, [request.root])
        if os.path.lexists(request.root):
            message = f"the toolchain has no {HEADER}: {request.root} is not a directory"
            problem = replace(problem, message=message)
        raise OcclumError.of([problem]) from None
    report.raise_errors()
    stats = {path: known.stats[path] for _, path in found.files.values()}
    contents = {stat.sha256: path for path, stat in stats.items() if stat is not None}
    digests = {one.fingerprint: one for one in await stored(known, contents, request.root)}
    files: dict[str, ToolchainFile] = {}
    for role, (place, path) in sorted(found.files.items()):
        stat = stats[path]
        if stat is not None:
            is_executable = bool(stat.mode & 0o100)
            files[role] = ToolchainFile(place, digests[stat.sha256], is_executable)
    return ToolchainFiles(found.version, FrozenDict(files))


@rule(desc="Unpack Occlum's toolchain")
async def archived_toolchain(request: _Archive) -> ToolchainFiles:
    archive = request.archive
    process = await prepare_tool_process(
        ToolProcessRequest(
            module="occlum_build.occlum.archive",
            argv=(archive.path, request.sgx_mode, request.version, _OUTPUT),
            description=f"Unpack the toolchain {archive.path}",
            input_digest=archive.digest,
            output_directories=(_OUTPUT,),
        ),
    )
    result = await run_tool(process)
    if result.exit_code:
        raise InvalidEnclave(
            f"The 'archive' field in target {escaped(str(request.address))} cannot be used. "
            f"{process.description} failed:\n\n{output_of(result.stderr)}"
        )
    entries = await get_digest_entries(result.output_digest)
    unpacked = {
        posixpath.relpath(entry.path, _OUTPUT): entry
        for entry in entries
        if isinstance(entry, FileEntry)
    }
    header = await create_digest(CreateDigest([unpacked[VERSION_HEADER]]))
    contents = await get_digest_contents(header)
    version = parse_version(contents[0].content.decode("utf-8", "replace"))
    files: dict[str, ToolchainFile] = {}
    for file in wanted_files(version, request.sgx_mode):
        for place in file.places:
            if place in unpacked and file.role not in files:
                entry = unpacked[place]
                files[file.role] = ToolchainFile(place, entry.file_digest, entry.is_executable)
    return ToolchainFiles(version, FrozenDict(sorted(files.items())), archive)


@rule(desc="Find Occlum's toolchain")
async def find_toolchain(request: ToolchainRequest, occlum: OcclumSubsystem) -> ToolchainFiles:
    if request.address is None:
        with told_of("[occlum].toolchain_root"):
            installation = Installation(occlum.toolchain_root, request.sgx_mode, "")
            return await installed_toolchain(installation)
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "the `toolchain` of an enclave"), **implicitly()
    )
    target = wrapped.target
    if not target.has_field(ToolchainRootField):
        raise invalid_target(
            f"{target.address} is a `{target.alias}`, but the `toolchain` of an `occlum_enclave` "
            "is an `occlum_toolchain` target."
        )
    root, version = target[ToolchainRootField].value, target[ToolchainVersionField].value or ""
    archives = await resolve_targets(
        **implicitly(
            {target[ToolchainArchiveField].to_unparsed_address_inputs(): UnparsedAddressInputs}
        )
    )
    sysroot = target[ToolchainSysrootField].value
    if [root is not None, bool(archives), bool(sysroot)].count(True) != 1:
        raise invalid_target(f"{target.address} must have one of `root`, `archive` and `sysroot`.")
    if sysroot:
        found = await find_sysroot(SysrootOf((target.address,)), **implicitly())
        system = found.name if found.packages is not None else found.root
        place = posixpath.join(system, OCCLUM_DIR)
        return await installed_toolchain(
            Installation(place, request.sgx_mode, version, found), **implicitly()
        )
    if root is not None:
        if not root.startswith("/"):
            raise invalid_target(
                f"The 'root' field in target {target.address} must be an absolute path, not "
                f"{root!r}; for a toolchain in the project use `archive`."
            )
        with told_of(f"the 'root' field in target {target.address}"):
            return await installed_toolchain(Installation(root, request.sgx_mode, version))
    sources = await determine_source_files(
        SourceFilesRequest(
            tuple(one.get(SourcesField) for one in archives),
            for_sources_types=(FileSourceField,),
            enable_codegen=True,
        )
    )
    if len(sources.files) != 1:
        raise invalid_target(
            f"The 'archive' field in target {target.address} must be a target with one file, not "
            f"{len(sources.files)}."
        )
    return await archived_toolchain(
        _Archive(
            ToolchainArchive(sources.snapshot.digest, sources.files[0]),
            request.sgx_mode,
            version,
            target.address,
        )
    )


def rules() -> Iterable[Rule]:
    return collect_rules()
