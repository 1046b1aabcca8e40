"""The enclave as nodes: file systems, configuration and measurement, signature.

Everything up to the bytes to sign is cacheable and shared. Encrypting runs on this machine and is
kept for the life of pantsd; signing is done by a rule, as a key must not meet a process.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from pants.core.util_rules.source_files import SourceFilesRequest
from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, FileEntry
from pants.engine.rules import Rule
from pants.engine.target import SourcesField, Target, WrappedTargetRequest

from occlum_build.occlum.initfs import ENCRYPTED, INTEGRITY_ONLY
from occlum_build.occlum.runtime_boot import BootSettings
from occlum_build.occlum.toolchain import INITFS, required_files
from occlum_build.sgx.config import merge, parse_json
from occlum_build.sgx.config.jsontext import plain
from pants_occlum.compat.by_name import collect_rules, concurrently, implicitly, rule
from pants_occlum.compat.pants_rules import (
    create_digest,
    determine_source_files,
    get_digest_contents,
    get_digest_entries,
    resolve_target,
)
from pants_occlum.enclave import target_types as fields
from pants_occlum.enclave.init import init_of
from pants_occlum.enclave.keys import ImageKey, ImageKeyRequest, image_key
from pants_occlum.enclave.rootfs import boot_settings
from pants_occlum.enclave.sealing import SealedImage, SealRequest, seal_image
from pants_occlum.enclave.steps import (
    TOOLCHAIN,
    ConfigureRequest,
    InitfsRequest,
    Parts,
    configure_enclave,
    seal_initfs,
)
from pants_occlum.enclave.toolchain import HEADER, ToolchainFiles, ToolchainRequest, find_toolchain
from pants_occlum.image.nodes import Image, ImageContentRequest, image_content, image_of
from pants_occlum.image.planned import explain_missing
from pants_occlum.invalid import invalid_target
from pants_occlum.one_address import named_target
from pants_occlum.problems import enclave_errors


@dataclass(frozen=True)
class EnclaveRequest:
    address: Address


@dataclass(frozen=True)
class MeasuredEnclave:
    """An enclave up to the bytes to sign.

    `initfs` holds __ROOT, .ROOT_MAC and `tree`, `configured` the outputs of
    occlum_build.occlum.configure.
    """

    version: str
    image_type: str
    key_fingerprint: str | None
    root: Image
    toolchain: ToolchainFiles
    image: SealedImage
    initfs: Parts
    configured: Parts


async def _file_of(target: Target, field_type: type[SourcesField]) -> FileEntry | None:
    sources = await determine_source_files(SourceFilesRequest((target[field_type],)))
    entries = await get_digest_entries(sources.snapshot.digest)
    return next((entry for entry in entries if isinstance(entry, FileEntry)), None)


async def _toolchain_of(target: Target) -> ToolchainFiles:
    toolchain = await named_target(target, fields.EnclaveToolchainField)
    address = toolchain.address if toolchain is not None else None
    sgx_mode = target[fields.SgxModeField].value or "HW"
    with enclave_errors(target.address):
        return await find_toolchain(ToolchainRequest(address, sgx_mode), **implicitly())


async def _key_of(target: Target) -> ImageKey | None:
    if target[fields.EncryptField].value:
        with enclave_errors(target.address):
            return await image_key(ImageKeyRequest(target.address), **implicitly())
    if target[fields.BuildinImageKeyField].value:
        raise invalid_target(
            f"The 'buildin_image_key' field in target {target.address} needs `encrypt=True`."
        )
    return None


async def _boot_of(target: Target) -> BootSettings | None:
    rootfs = await named_target(target, fields.EnclaveBootField)
    if rootfs is None:
        return None
    if not target[fields.EnclaveInitField].value and not target[fields.EnclaveInitfsField].value:
        raise invalid_target(
            f"The 'boot' field in target {target.address} needs an `init` that reads "
            "/etc/boot.conf, or an `initfs` with one: Occlum's own mounts `image`."
        )
    return boot_settings(rootfs, f"The 'boot' field in target {target.address}")


async def enclave_config(target: Target) -> bytes:
    """The Occlum.json of an enclave, its patch merged, as JSON. No toolchain if it has a file."""
    found = await _file_of(target, fields.EnclaveConfigFileField)
    if found is None:
        toolchain = await _toolchain_of(target)
        found = FileEntry("Occlum.json", toolchain.files["template"].digest)
    contents = await get_digest_contents(await create_digest(CreateDigest([found])))
    with enclave_errors(target.address):
        config = parse_json(contents[0].content, found.path)
        patch = target[fields.EnclaveConfigField].value
        if patch:
            config = merge(config, parse_json(patch.encode(), "the field config"))
    return json.dumps(plain(config), sort_keys=True, ensure_ascii=False).encode()


async def _initfs_request(
    target: Target,
    toolchain: ToolchainFiles,
    image_type: str,
    key: ImageKey | None,
    boot: BootSettings | None,
) -> InitfsRequest:
    image = await image_of(target, fields.EnclaveInitfsField)
    init = await init_of(target)
    if image is not None and init is not None:
        raise invalid_target(
            f"{target.address} has `initfs` and `init`: put the program into the initfs instead."
        )
    sgx_mode = target[fields.SgxModeField].value or "HW"
    roles = [file.role for file in required_files(toolchain.version, sgx_mode, [INITFS])]
    entries = toolchain.entries(TOOLCHAIN, [] if image else [HEADER, *roles])
    if init is not None:
        (default,) = toolchain.entries(TOOLCHAIN, ["init"])
        entries.remove(default)
        entries.append(FileEntry(default.path, init.file_digest, True))
    content = (
        await image_content(ImageContentRequest(image.address), **implicitly()) if image else None
    )
    return InitfsRequest(
        image=content.digest if content else None,
        identity=image.manifest.identity if image else b"",
        toolchain=await create_digest(CreateDigest(entries)),
        version=toolchain.version,
        sgx_mode=sgx_mode,
        image_type=image_type,
        key=key if target[fields.BuildinImageKeyField].value else None,
        boot=boot,
        of=str(target.address),
    )


@rule(desc="Build an enclave")
async def measured_enclave(request: EnclaveRequest) -> MeasuredEnclave:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "an enclave"), **implicitly()
    )
    target = wrapped.target
    root = await image_of(target, fields.EnclaveImageField)
    key = await _key_of(target)
    toolchain = await _toolchain_of(target)
    if root is None:
        raise invalid_target(f"{target.address} has no `image`.")
    image_type = ENCRYPTED if key else INTEGRITY_ONLY
    boot = await _boot_of(target)
    asked = await _initfs_request(target, toolchain, image_type, key, boot)
    # A signed one has an archive.
    has_packs = target[fields.SignField].value
    seal = SealRequest(root.address, key, str(target.address), has_packs)
    try:
        image, initfs = await concurrently(seal_image(seal, **implicitly()), seal_initfs(asked))
    except Exception as error:  # whatever Pants raises, if it names a content
        for one in (root, await image_of(target, fields.EnclaveInitfsField)):
            if one is not None:
                error = await explain_missing(error, one.plan, target.address)
        raise error from None
    config_file = await _file_of(target, fields.EnclaveConfigFileField)
    template = FileEntry("Occlum.json", toolchain.files["template"].digest)
    configured = await configure_enclave(
        ConfigureRequest(
            configs=(config_file or template,),
            patch=target[fields.EnclaveConfigField].value or "",
            libos=toolchain.files["libos"].digest,
            image_mac=image.mac,
            initfs_mac=initfs.files[".ROOT_MAC"],
            sgx_mode=target[fields.SgxModeField].value or "HW",
            edmm=target[fields.EdmmField].value,
            date=target[fields.SigningDateField].value or "",
            with_newline=target[fields.BuiltinConfigNewlineField].value,
            strict=target[fields.StrictField].value,
            needs_hostfs=boot is not None and bool(boot.hostfs_source),
            of=str(target.address),
        )
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


def rules() -> Iterable[Rule]:
    return collect_rules()
