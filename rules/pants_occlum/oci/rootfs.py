"""The root file system of a container: an image's, or one that holds an enclave's instance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.engine.target import Target, WrappedTargetRequest
from pants.util.frozendict import FrozenDict

from occlum_build.occlum.initfs import ENCRYPTED
from occlum_build.oci.grouping import Group, group_entries, group_instance
from occlum_build.oci.rootfs import INSTANCE_PATH, MOUNT_POINTS, in_container
from occlum_build.sgx.attributes import FLAG_DEBUG
from occlum_build.sources.model import DIR
from pants_occlum.bom.target_types import ImageBomsField
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target
from pants_occlum.dist.entries import TreeEntry
from pants_occlum.dist.packed import Packed
from pants_occlum.enclave.checked import CheckedEnclaveRequest, check_enclave_of
from pants_occlum.enclave.instance import Instance, InstanceRequest, lay_out_instance
from pants_occlum.enclave.nodes import EnclaveRequest, measured_enclave
from pants_occlum.enclave.rootfs import booted_entry_points, booted_image
from pants_occlum.enclave.sealing import SealRequest, seal_image
from pants_occlum.enclave.signing import SignRequest, sign_enclave
from pants_occlum.enclave.target_types import (
    EnclaveImageField,
    ExpectedMrenclaveField,
    SgxModeField,
    SignField,
)
from pants_occlum.image.nodes import ImageRequest, make_image
from pants_occlum.image.planned import PlannedImage
from pants_occlum.invalid import invalid_target
from pants_occlum.one_address import OneAddressField, named_target

IMAGE_LABEL, MRENCLAVE_LABEL = "io.occlum.image-digest", "io.occlum.mrenclave"


@dataclass(frozen=True)
class RootfsRequest:
    """The address of an `occlum_image` or an `occlum_enclave`."""

    address: Address


@dataclass(frozen=True)
class Rootfs:
    """A root file system, its groups for layers, and what is known of what is in it.

    `image` is the `occlum_image` whose digest the labels have.
    `programs` is the image where a program is looked up, `entry_points` are those of an enclave;
    `is_shared` False keeps layers out of shared caches.
    `plan` is that of an image whose files are taken as they are, the host's from the host; `packed`
    has the files of an enclave's secure file system.
    """

    tree: tuple[TreeEntry, ...]
    groups: tuple[Group, ...]
    image: Address
    programs: PlannedImage = field(hash=False)
    labels: FrozenDict[str, str]
    entry_points: tuple[str, ...] = ()
    is_shared: bool = True
    is_enclave: bool = False
    is_release: bool = False
    plan: PlannedImage | None = field(default=None, hash=False)
    packed: Packed | None = None


async def content_of(target: Target, *field_types: type[OneAddressField]) -> Target:
    """The target that the one field of these names that is set; one must be, and only one."""
    named = [await named_target(target, field) for field in field_types]
    found = [one for one in named if one is not None]
    if len(found) != 1:
        names = " or ".join(repr(field.alias) for field in field_types)
        raise invalid_target(f"The target {target.address} needs {names}, one of them.")
    return found[0]


async def _of_enclave(target: Target) -> Rootfs:
    sign = target[SignField].value
    sgx_mode = target[SgxModeField].value or "HW"
    enclave = await measured_enclave(EnclaveRequest(target.address))
    checked = await check_enclave_of(CheckedEnclaveRequest(target.address), **implicitly())
    signed = await sign_enclave(SignRequest(target.address, sign), **implicitly())
    instance = await lay_out_instance(InstanceRequest(target.address, sgx_mode, sign))
    packed = instance.packed
    if instance.to_seal is not None:
        seal = SealRequest(enclave.root.address, None, str(target.address), has_packs=True)
        packed = (await seal_image(seal, **implicitly())).packed
    mrenclave = signed.sigstruct.mrenclave.hex()
    expected = target[ExpectedMrenclaveField].value
    if expected is not None and expected.lower() != mrenclave:
        raise invalid_target(
            f"{target.address} has another MRENCLAVE than expected: {mrenclave}. Package it to see "
            "what has changed."
        )
    labels = {IMAGE_LABEL: f"sha256:{enclave.root.name}", MRENCLAVE_LABEL: mrenclave}
    booted = await booted_image(target)
    tree = tuple(_enclave_tree(instance))
    return Rootfs(
        tree=tree,
        groups=group_instance(((entry.path, entry.size) for entry in tree), INSTANCE_PATH),
        image=enclave.root.address,
        programs=(booted or enclave.root).plan,
        labels=FrozenDict(labels),
        entry_points=await booted_entry_points(target) or checked.entry_points,
        is_shared=enclave.image_type != ENCRYPTED,
        is_enclave=True,
        is_release=bool(signed.sigstruct.flags_mask & FLAG_DEBUG),
        packed=packed,
    )


@rule(desc="Lay out a container's root file system")
async def lay_out_rootfs(request: RootfsRequest) -> Rootfs:
    wrapped = await resolve_target(
        WrappedTargetRequest(request.address, "a container"), **implicitly()
    )
    target = wrapped.target
    if target.has_field(EnclaveImageField):
        return await _of_enclave(target)
    if not target.has_field(ImageBomsField):
        raise invalid_target(
            f"{target.address} is a `{target.alias}`, not an `occlum_image` or `occlum_enclave`."
        )
    image = await make_image(ImageRequest(target.address), **implicitly())
    labels = FrozenDict({IMAGE_LABEL: f"sha256:{image.name}"})
    groups = group_entries(image.plan.entries)
    return Rootfs(image.tree, groups, image.address, image.plan, labels, plan=image.plan)


def _enclave_tree(instance: Instance) -> list[TreeEntry]:
    tree = [TreeEntry(path, DIR, 0o755) for path in (*MOUNT_POINTS, INSTANCE_PATH)]
    tree += (
        entry._replace(path=f"{INSTANCE_PATH}/{entry.path}")
        for entry in instance.tree
        if in_container(entry.path)
    )
    return sorted(tree)


def rules() -> Iterable[Rule]:
    return collect_rules()
