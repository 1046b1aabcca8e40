"""The root file system of a runtime boot: an image, checked and encrypted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest

from occlum_build.checks.refusal import program_problem
from occlum_build.checks.root import Root
from occlum_build.errors import NOTE, Problem
from occlum_build.occlum.runtime_boot import BootSettings, boot_conf, check_rootfs
from occlum_build.sefs.modes import lost_modes
from occlum_build.sources.model import FILE
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.packed import Packed
from pants_occlum.enclave import boot_types as fields
from pants_occlum.enclave.keys import ImageKeyRequest, image_key
from pants_occlum.enclave.sealing import SealRequest, seal_image
from pants_occlum.enclave.target_types import EnclaveBootField
from pants_occlum.findings import findings_of, tell
from pants_occlum.image.nodes import Image, image_of
from pants_occlum.image.planned import explain_missing, look_into
from pants_occlum.invalid import invalid_target
from pants_occlum.one_address import named_target
from pants_occlum.problems import enclave_errors
from pants_occlum.subsystem import OcclumSubsystem


@dataclass(frozen=True)
class BootRootfsRequest:
    """The address of an `occlum_rootfs`."""

    address: Address


@dataclass(frozen=True)
class BootRootfs:
    """The image that is booted, and its encrypted layer, a flat directory of files in packs."""

    image: Image
    lower: tuple[TreeEntry, ...]
    packed: Packed


def boot_settings(target: Target, field: str) -> BootSettings:
    """The settings of an `occlum_rootfs`, checked; `field` is what names the target."""
    if not target.has_field(fields.RootfsImageField):
        raise invalid_target(
            f"{field} must be an `occlum_rootfs`, but {target.address} is a `{target.alias}`."
        )
    settings = BootSettings(
        lower=target[fields.LowerField].value or "",
        upper=target[fields.UpperField].value or "",
        entry_point=target[fields.BootEntryPointField].value or "",
        hostfs_source=target[fields.HostfsSourceField].value or "",
        hostfs_target=target[fields.HostfsTargetField].value or "",
        key_file=target[fields.KeyFileField].value or "",
        key_program=target[fields.KeyProgramField].value or "",
        env=target[fields.BootEnvField].value or (),
    )
    with enclave_errors(target.address):
        boot_conf(settings)
    return settings


async def booted_image(enclave: Target) -> Image | None:
    """The image that an enclave mounts when it starts, None when it is no boot template."""
    rootfs = await named_target(enclave, EnclaveBootField)
    return await image_of(rootfs, fields.RootfsImageField) if rootfs is not None else None


async def booted_settings(enclave: Target) -> BootSettings | None:
    """How an enclave boots what it mounts when it starts, None when it is no boot template."""
    rootfs = await named_target(enclave, EnclaveBootField)
    return boot_settings(rootfs, str(enclave.address)) if rootfs is not None else None


async def booted_entry_points(enclave: Target) -> tuple[str, ...]:
    """What a boot puts in place of the entry points that an enclave was built with, if it does."""
    settings = await booted_settings(enclave)
    return (settings.entry_point,) if settings is not None and settings.entry_point else ()


def entry_point_problem(root: Root, settings: BootSettings) -> Problem | None:
    """Why the libOS would not start the program that is the entry point of a boot, if it is one."""
    program = settings.entry_point
    is_program = program and root.kind(program) == FILE
    return program_problem(root, program, libos=True) if is_program else None


@rule(desc="Make a root file system for a runtime boot")
async def make_boot_rootfs(request: BootRootfsRequest, occlum: OcclumSubsystem) -> BootRootfs:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "a root file system"), **implicitly()
    )
    target = wrapped.target
    settings = boot_settings(target, str(target.address))
    image = await image_of(target, fields.RootfsImageField)
    if image is None:
        raise invalid_target(f"{target.address} has no `image`.")
    problems = [*lost_modes((one.path, one.kind, one.mode) for one in image.tree)]
    # A note, as the Occlum.json of an enclave may set the variable.
    elsewhere = image.plan.needs_library_path(settings.env)
    problems += [replace(one, severity=NOTE) for one in elsewhere]
    with enclave_errors(target.address):
        check_rootfs(settings, Root.of_paths(image.plan.entries).kind)
        refused = await look_into(
            image.plan, str(target.address), lambda root: entry_point_problem(root, settings)
        )
        problems += [refused] if refused is not None else []
        findings = findings_of(target, problems, occlum)
        await tell(findings, **implicitly())
        findings.raise_errors()
        key = await image_key(ImageKeyRequest(target.address), **implicitly())
    seal = SealRequest(image.address, key, str(target.address))
    try:
        sealed = await seal_image(seal, **implicitly())
    except Exception as error:  # noqa: BLE001 - whatever Pants raises, if it names a content
        raise await explain_missing(error, image.plan, target.address) from None
    return BootRootfs(image, tuple(sealed.packed.tree("", 0o644)), sealed.packed)


def rules() -> Iterable[Rule]:
    return collect_rules()
