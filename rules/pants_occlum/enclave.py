"""The enclave as nodes: file systems, configuration and measurement, signature.

Everything up to the bytes to sign is cacheable and shared. Encrypting runs on this machine and is
kept for the life of pantsd; signing is done by a rule, as a key must not meet a process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Optional

from pants.core.util_rules.source_files import SourceFiles, SourceFilesRequest
from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.fs import (
    AddPrefix,
    CreateDigest,
    Digest,
    DigestEntries,
    FileContent,
    FileDigest,
    FileEntry,
    MergeDigests,
)
from pants.engine.process import FallibleProcessResult, Process, ProcessCacheScope
from pants.engine.rules import Get, MultiGet, Rule, collect_rules, rule
from pants.engine.target import (
    InvalidTargetException,
    SourcesField,
    Target,
    Targets,
    WrappedTarget,
    WrappedTargetRequest,
)
from pants.util.frozendict import FrozenDict

from occlum_build.occlum.initfs import ENCRYPTED, INTEGRITY_ONLY
from occlum_build.occlum.toolchain import INITFS, required_files
from pants_occlum import enclave_types as fields
from pants_occlum.enclave_keys import KEY_CACHE, KEY_DIR, ImageKey, ImageKeyRequest
from pants_occlum.image import Image, ImageRequest
from pants_occlum.problems import InvalidEnclave, enclave_errors
from pants_occlum.target_types import ImageBomsField
from pants_occlum.toolchain import HEADER, ToolchainFiles, ToolchainRequest
from pants_occlum.util_rules.tool_process import ToolProcessRequest

COMPILED = ("cryptography", "cffi")
PURE = ("pyelftools", "pycparser")
_REQUEST, _OUT, _TOOLCHAIN = "request.json", "out", "toolchain"


@dataclass(frozen=True)
class EnclaveRequest:
    address: Address


@dataclass(frozen=True)
class Parts:
    """Files by name below one digest, as a step left them."""

    digest: Digest
    files: FrozenDict[str, FileDigest]


@dataclass(frozen=True)
class MeasuredEnclave:
    """An enclave up to the bytes to sign.

    `image` holds __ROOT and .ROOT_MAC, `initfs` those and `tree`, `configured` the outputs of
    occlum_build.occlum.configure.
    """

    version: str
    image_type: str
    key_fingerprint: Optional[str]
    root: Image
    toolchain: ToolchainFiles
    image: Parts
    initfs: Parts
    configured: Parts


@dataclass(frozen=True)
class _Step:
    """A run of a module of occlum_build.occlum that writes the directory `out`.

    `argv` comes before and `key` after it, a path that leads to the image key.
    """

    module: str
    argv: tuple[str, ...]
    input: Digest
    description: str = field(compare=False)
    key: str = ""
    uses_key: bool = False


@rule
async def run_step(step: _Step) -> Parts:
    process = await Get(
        Process,
        ToolProcessRequest(
            module=f"occlum_build.occlum.{step.module}",
            argv=(*step.argv, _OUT, *([step.key] if step.key else [])),
            description=step.description,
            input_digest=step.input,
            requirements=PURE,
            compiled_requirements=COMPILED,
            output_directories=(_OUT,),
            append_only_caches=FrozenDict({KEY_CACHE: KEY_DIR} if step.uses_key else {}),
            # What was made with a key stays on this machine, and out of its caches.
            cache_scope=ProcessCacheScope.PER_RESTART_SUCCESSFUL
            if step.uses_key
            else ProcessCacheScope.SUCCESSFUL,
        ),
    )
    result = await Get(FallibleProcessResult, Process, process)
    if result.exit_code:
        raise InvalidEnclave(f"{step.description} failed:\n\n{result.stderr.decode()}")
    entries = await Get(DigestEntries, Digest, result.output_digest)
    files = {
        entry.path[len(_OUT) + 1 :]: entry.file_digest
        for entry in entries
        if isinstance(entry, FileEntry)
    }
    return Parts(result.output_digest, FrozenDict(sorted(files.items())))


@dataclass(frozen=True)
class _SealRequest:
    """The secure file system of an image; with a key it is an encrypted one."""

    image: Digest
    identity: bytes
    key: Optional[ImageKey]
    of: str = field(compare=False)


@rule
async def seal_image(request: _SealRequest) -> Parts:
    tree, manifest = await MultiGet(
        Get(Digest, AddPrefix(request.image, "tree")),
        Get(Digest, CreateDigest([FileContent("manifest.json", request.identity)])),
    )
    return await Get(
        Parts,
        _Step(
            module="seal",
            argv=("tree", "manifest.json"),
            input=await Get(Digest, MergeDigests([tree, manifest])),
            description=f"Make the secure file system of {request.of}",
            key=request.key.path if request.key else "",
            uses_key=request.key is not None,
        ),
    )


@dataclass(frozen=True)
class _InitfsRequest:
    """The initfs: an image of its own, or the default one, maybe with another init."""

    image: Optional[Digest]
    identity: bytes
    toolchain: Digest
    version: str
    sgx_mode: str
    image_type: str
    key: Optional[ImageKey]
    of: str = field(compare=False)


@rule
async def seal_initfs(request: _InitfsRequest) -> Parts:
    asked = {
        "version": request.version,
        "sgx_mode": request.sgx_mode,
        "image_type": request.image_type,
        "tree": "tree" if request.image else None,
        "manifest": "manifest.json" if request.image else None,
        "image_key": request.key.path if request.key else None,
    }
    files = [FileContent(_REQUEST, _json(asked))]
    inputs = [request.toolchain]
    if request.image:
        files.append(FileContent("manifest.json", request.identity))
        inputs.append(await Get(Digest, AddPrefix(request.image, "tree")))
    inputs.append(await Get(Digest, CreateDigest(files)))
    return await Get(
        Parts,
        _Step(
            module="initfs",
            argv=(_REQUEST, _TOOLCHAIN),
            input=await Get(Digest, MergeDigests(inputs)),
            description=f"Make the initfs of {request.of}",
            uses_key=request.key is not None,
        ),
    )


@dataclass(frozen=True)
class _ConfigureRequest:
    """Configuration and measurement: Occlum.json and its patch, the libOS, both MACs."""

    configs: tuple[FileEntry, ...]
    patch: str
    libos: FileDigest
    image_mac: FileDigest
    initfs_mac: FileDigest
    sgx_mode: str
    edmm: bool
    date: str
    with_newline: bool
    of: str = field(compare=False)


@rule
async def configure_enclave(request: _ConfigureRequest) -> Parts:
    paths = [entry.path for entry in request.configs]
    files: list[FileContent | FileEntry] = [
        *request.configs,
        FileEntry("libos.so", request.libos),
        FileEntry("image.mac", request.image_mac),
        FileEntry("initfs.mac", request.initfs_mac),
    ]
    if request.patch:
        paths.append("config")
        files.append(FileContent("config", request.patch.encode()))
    asked = {
        "configs": paths,
        "libos": "libos.so",
        "image_mac": "image.mac",
        "initfs_mac": "initfs.mac",
        "sgx_mode": request.sgx_mode,
        "edmm": request.edmm,
        "date": request.date,
        "with_newline": request.with_newline,
        "strict": True,
    }
    files.append(FileContent(_REQUEST, _json(asked)))
    return await Get(
        Parts,
        _Step(
            module="configure",
            argv=(_REQUEST,),
            input=await Get(Digest, CreateDigest(files)),
            description=f"Configure and measure {request.of}",
        ),
    )


async def _one(target: Target, field_type: type[fields._OneAddressField]) -> Optional[Target]:
    addresses = target[field_type].to_unparsed_address_inputs()
    found = await Get(Targets, UnparsedAddressInputs, addresses)
    return found[0] if found else None


async def _image_of(target: Target, field_type: type[fields._OneAddressField]) -> Optional[Image]:
    addresses = target[field_type].to_unparsed_address_inputs()
    found = await Get(Targets, UnparsedAddressInputs, addresses)
    if not found:
        return None
    if not found[0].has_field(ImageBomsField):
        raise InvalidTargetException(
            f"The {field_type.alias!r} field in target {target.address} must be an `occlum_image`, "
            f"but {found[0].address} is a `{found[0].alias}`."
        )
    return await Get(Image, ImageRequest(found[0].address))


async def _file_of(target: Target, field_type: type[SourcesField]) -> Optional[FileEntry]:
    sources = await Get(SourceFiles, SourceFilesRequest((target[field_type],)))
    entries = await Get(DigestEntries, Digest, sources.snapshot.digest)
    return next((entry for entry in entries if isinstance(entry, FileEntry)), None)


async def _toolchain_of(target: Target) -> ToolchainFiles:
    toolchain = await _one(target, fields.EnclaveToolchainField)
    address = toolchain.address if toolchain is not None else None
    sgx_mode = target[fields.SgxModeField].value or "HW"
    with enclave_errors(target.address):
        return await Get(ToolchainFiles, ToolchainRequest(address, sgx_mode))


async def _key_of(target: Target) -> Optional[ImageKey]:
    if target[fields.EncryptField].value:
        with enclave_errors(target.address):
            return await Get(ImageKey, ImageKeyRequest(target.address))
    if target[fields.BuildinImageKeyField].value:
        raise InvalidTargetException(
            f"The 'buildin_image_key' field in target {target.address} needs `encrypt=True`."
        )
    return None


async def _initfs_request(
    target: Target, toolchain: ToolchainFiles, image_type: str, key: Optional[ImageKey]
) -> _InitfsRequest:
    image = await _image_of(target, fields.EnclaveInitfsField)
    init = await _file_of(target, fields.EnclaveInitField)
    if image is not None and init is not None:
        raise InvalidTargetException(
            f"{target.address} has `initfs` and `init`: put the program into the initfs instead."
        )
    sgx_mode = target[fields.SgxModeField].value or "HW"
    roles = [file.role for file in required_files(toolchain.version, sgx_mode, [INITFS])]
    entries = toolchain.entries(_TOOLCHAIN, [] if image else [HEADER, *roles])
    if init is not None:
        (default,) = toolchain.entries(_TOOLCHAIN, ["init"])
        entries.remove(default)
        entries.append(FileEntry(default.path, init.file_digest, True))
    return _InitfsRequest(
        image=image.digest if image else None,
        identity=image.identity if image else b"",
        toolchain=await Get(Digest, CreateDigest(entries)),
        version=toolchain.version,
        sgx_mode=sgx_mode,
        image_type=image_type,
        key=key if target[fields.BuildinImageKeyField].value else None,
        of=str(target.address),
    )


@rule(desc="Build an enclave")
async def measured_enclave(request: EnclaveRequest) -> MeasuredEnclave:
    wrapped = await Get(WrappedTarget, WrappedTargetRequest(request.address, "an enclave"))
    target = wrapped.target
    toolchain = await _toolchain_of(target)
    root = await _image_of(target, fields.EnclaveImageField)
    key = await _key_of(target)
    if root is None:
        raise InvalidTargetException(f"{target.address} has no `image`.")
    image_type = ENCRYPTED if key else INTEGRITY_ONLY
    image, initfs = await MultiGet(
        Get(Parts, _SealRequest(root.digest, root.identity, key, str(target.address))),
        Get(Parts, _InitfsRequest, await _initfs_request(target, toolchain, image_type, key)),
    )
    config_file = await _file_of(target, fields.EnclaveConfigFileField)
    template = FileEntry("Occlum.json", toolchain.files["template"].digest)
    configured = await Get(
        Parts,
        _ConfigureRequest(
            configs=(config_file or template,),
            patch=target[fields.EnclaveConfigField].value or "",
            libos=toolchain.files["libos"].digest,
            image_mac=image.files[".ROOT_MAC"],
            initfs_mac=initfs.files[".ROOT_MAC"],
            sgx_mode=target[fields.SgxModeField].value or "HW",
            edmm=target[fields.EdmmField].value,
            date=target[fields.SigningDateField].value or "",
            with_newline=target[fields.BuiltinConfigNewlineField].value,
            of=str(target.address),
        ),
    )
    return MeasuredEnclave(
        version=toolchain.version,
        image_type=image_type,
        key_fingerprint=key.fingerprint if key else None,
        root=root,
        toolchain=toolchain,
        image=image,
        initfs=initfs,
        configured=configured,
    )


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1).encode()


def rules() -> Iterable[Rule]:
    return collect_rules()
