"""`builder="occlum"`: a real `occlum build` of the same inputs, compared with ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestSubset,
    Directory,
    FileContent,
    FileEntry,
    MergeDigests,
    PathGlobs,
    RemovePrefix,
)
from pants.engine.process import Process, ProcessCacheScope
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest

from occlum_build.errors import OcclumError, Report
from occlum_build.occlum import configure
from occlum_build.occlum.instance import INITIALIZED, SIGNED_LIBOS, STATUS
from occlum_build.sgx.measurement import read_sigstruct
from occlum_build.sgx.sign import Unsigned
from occlum_build.shown import Lines, escaped, output_of
from occlum_build.sources.model import DIR, SYMLINK
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import (
    add_prefix,
    create_digest,
    digest_subset_to_digest,
    execute_process,
    get_digest_contents,
    merge_digests,
    remove_prefix,
    resolve_target,
    resolve_targets,
)
from pants_occlum.enclave.nodes import EnclaveRequest, MeasuredEnclave, measured_enclave
from pants_occlum.enclave.steps import INITFS_TREE
from pants_occlum.enclave.target_types import (
    EdmmField,
    EnclaveToolchainField,
    SgxModeField,
)
from pants_occlum.enclave.toolchain_types import ToolchainRootField
from pants_occlum.image.nodes import ImageContentRequest, image_content
from pants_occlum.image.planned import explain_missing
from pants_occlum.process.client_env import ClientEnvRequest, client_env
from pants_occlum.process.execution import Execution
from pants_occlum.process.tool_result import without_noise
from pants_occlum.subsystem import OcclumSubsystem

_INSTANCE = "occlum_instance"
_OUTPUTS = {
    "the MAC of the image": "build/mount/.ROOT_MAC",
    "the MAC of the initfs": "build/initfs/.ROOT_MAC",
    "MRENCLAVE": f"build/{SIGNED_LIBOS}",
}
_HINT_WORKER = (
    "it ran on a worker: install the same Occlum there at the same place, or build with "
    "--no-remote-execution"
)


@dataclass(frozen=True)
class CompareRequest:
    address: Address


@dataclass(frozen=True)
class Compared:
    """What both builds came to, by what it is called."""

    values: tuple[tuple[str, str], ...]


async def _occlum_root(target: Target, default: str) -> str:
    addresses = target[EnclaveToolchainField].to_unparsed_address_inputs()
    toolchains = await resolve_targets(**implicitly({addresses: UnparsedAddressInputs}))
    root = toolchains[0][ToolchainRootField].value if toolchains else default
    if root is None:
        raise OcclumError(
            "usage",
            f"the toolchain of {target.address} is an archive",
            hint='`builder="occlum"` runs an installed Occlum: give its toolchain a `root`',
        )
    inner = os.path.join(root, "opt/occlum")
    return inner if os.path.isdir(inner) else root


def _check_modes(enclave: MeasuredEnclave) -> None:
    """Raises OcclumError for an entry whose mode an input of a process cannot have."""
    for entry in enclave.root.tree:
        usual = (0o755,) if entry.kind == DIR else (0o755, 0o644)
        if entry.kind != SYMLINK and entry.mode not in usual:
            raise OcclumError(
                "usage",
                f"/{entry.path} of the image has the mode {entry.mode:04o}, which the directory "
                "that `occlum build` is given here cannot have",
                hint="compare an image whose modes are 0755 and 0644",
            )


async def _instance(enclave: MeasuredEnclave) -> Digest:
    """An instance as it is before `occlum build`: status, Occlum.json, image/ and initfs/."""
    initfs = await digest_subset_to_digest(
        DigestSubset(enclave.initfs.digest, PathGlobs([f"{INITFS_TREE}/**"]))
    )
    entries: list[FileContent | FileEntry | Directory] = [
        FileContent(STATUS, f"{INITIALIZED}\n".encode()),
        FileEntry("Occlum.json", enclave.configured.files[configure.OCCLUM_JSON]),
        Directory("image"),
    ]
    content = await image_content(ImageContentRequest(enclave.root.address), **implicitly())
    parts = await concurrently(
        add_prefix(AddPrefix(content.digest, "image")),
        add_prefix(AddPrefix(await remove_prefix(RemovePrefix(initfs, INITFS_TREE)), "initfs")),
        create_digest(CreateDigest(entries)),
    )
    return await add_prefix(AddPrefix(await merge_digests(MergeDigests(parts)), _INSTANCE))


async def _input(enclave: MeasuredEnclave) -> Digest:
    """The instance, and beside it what the process does not see, so that it counts as an input."""
    digests = {role: file.digest.fingerprint for role, file in enclave.toolchain.files.items()}
    toolchain = FileContent("toolchain.json", json.dumps(digests, sort_keys=True).encode())
    digest = await create_digest(CreateDigest([toolchain]))
    return await merge_digests(MergeDigests([await _instance(enclave), digest]))


@rule(desc="Compare with Occlum's own build")
async def compare_builds(
    request: CompareRequest, occlum: OcclumSubsystem, execution: Execution
) -> Compared:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "an enclave"), **implicitly()
    )
    target = wrapped.target
    enclave = await measured_enclave(EnclaveRequest(request.address))
    if enclave.key_fingerprint is not None:
        raise OcclumError(
            "usage",
            f"{request.address} is encrypted: Occlum encrypts with other keys in each run",
            hint="compare with `encrypt=False`",
        )
    _check_modes(enclave)
    root = await _occlum_root(target, occlum.toolchain_root)
    env = await client_env(ClientEnvRequest(("PATH", "SGX_SDK")), **implicitly())
    argv = [f"{root}/build/bin/occlum", "build", "--sgx-mode", target[SgxModeField].value or "HW"]
    if target[EdmmField].value:
        argv += ["--enable-edmm", "Y"]
    process = Process(
        argv,
        description=escaped(f"Run `occlum build` for {request.address}"),
        input_digest=await _input(enclave),
        working_directory=_INSTANCE,
        env=env.values,
        output_files=tuple(_OUTPUTS.values()),
        cache_scope=ProcessCacheScope.PER_RESTART_SUCCESSFUL,
    )
    try:
        result = await execute_process(process, **implicitly())
    except Exception as error:  # noqa: BLE001 - whatever Pants raises, if it names a content
        raise await explain_missing(error, enclave.root.plan, request.address) from None
    if result.exit_code:
        text = output_of(result.stdout + without_noise(result.stderr))
        raise OcclumError(
            "occlum-build",
            Lines(f"`{' '.join(argv)}` failed:", *text.lines),
            hint=_HINT_WORKER if execution.remote_execution else "",
        )
    theirs = await get_digest_contents(result.output_digest)
    wanted = [
        FileEntry("build/mount/.ROOT_MAC", enclave.image.mac),
        FileEntry("build/initfs/.ROOT_MAC", enclave.initfs.files[".ROOT_MAC"]),
        FileEntry("unsigned", enclave.configured.files[configure.UNSIGNED]),
    ]
    ours = await get_digest_contents(await create_digest(CreateDigest(wanted)))
    return _compare(
        {file.path.partition(f"{_INSTANCE}/")[2] or file.path: file.content for file in theirs},
        {file.path: file.content for file in ours},
    )


def _compare(theirs: Mapping[str, bytes], ours: Mapping[str, bytes]) -> Compared:
    """Raises OcclumError `comparison` with all that differs."""
    unsigned = Unsigned.from_json(json.loads(ours["unsigned"]))
    values: list[tuple[str, str]] = []
    report = Report()
    for what, path in _OUTPUTS.items():
        if path not in theirs:
            report.error("comparison", f"`occlum build` left no {path}")
            continue
        if what == "MRENCLAVE":
            their, our = read_sigstruct(theirs[path]).mrenclave.hex(), unsigned.mrenclave.hex()
        else:
            their, our = theirs[path].decode("ascii", "replace").strip(), ours[path].decode()
        values.append((what, our))
        if their != our:
            report.error("comparison", f"{what} is {their} by `occlum build`, and {our} by ours")
    report.raise_errors()
    return Compared(tuple(values))


def rules() -> Iterable[Rule]:
    return collect_rules()
