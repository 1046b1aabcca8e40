"""The image that a target is or has, as the library's reports know it."""

from __future__ import annotations

from collections.abc import Iterable

from pants.engine.target import Target

from occlum_build.report.model import KnownImage
from occlum_build.report.read import image_of as known_image_of
from occlum_build.shown import some
from pants_occlum.bom.target_types import ImageBomsField
from pants_occlum.compat.by_name import implicitly
from pants_occlum.enclave.boot_types import RootfsImageField
from pants_occlum.enclave.target_types import EnclaveImageField
from pants_occlum.image.nodes import Image, ImageRequest, image_of, make_image
from pants_occlum.invalid import invalid_target

_IMAGE_FIELDS = (EnclaveImageField, RootfsImageField)


def has_image(target: Target) -> bool:
    return target.has_field(ImageBomsField) or any(map(target.has_field, _IMAGE_FIELDS))


def targets_with_images(targets: Iterable[Target], goal: str) -> list[Target]:
    """Those that have one, sorted; an error of Pants where there is none."""
    found = [target for target in targets if has_image(target)]
    if not found:
        raise invalid_target(
            f"`{goal}` takes an `occlum_image`, or an `occlum_enclave` or `occlum_rootfs` of one, "
            "and none was named."
        )
    return sorted(found, key=lambda target: target.address)


def the_one_target(targets: Iterable[Target], goal: str) -> Target:
    """The target that has an image; an error of Pants where there is none, or more than one."""
    found = targets_with_images(targets, goal)
    if len(found) == 1:
        return found[0]
    names = some([target.address.spec for target in found], 5)
    raise invalid_target(f"`{goal}` takes one image, not {len(found)}: {names}.")


async def image_of_target(target: Target) -> Image:
    """The image of a target that `has_image`."""
    if target.has_field(ImageBomsField):
        return await make_image(ImageRequest(target.address), **implicitly())
    for field in _IMAGE_FIELDS:
        image = await image_of(target, field) if target.has_field(field) else None
        if image is not None:
            return image
    raise invalid_target(f"The target {target.address} has no image.")


def known_image(image: Image) -> KnownImage:
    return known_image_of(image.manifest.full, image.address.spec, image.plan.graph)
