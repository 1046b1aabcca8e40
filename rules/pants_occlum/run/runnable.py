"""What is run of an image or an enclave: its image, and the Occlum.json that holds."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pants.engine.target import Target

from occlum_build.sgx.config import parse_json
from occlum_build.sgx.config.jsontext import plain
from pants_occlum.bom.target_types import ImageBomsField
from pants_occlum.compat.by_name import implicitly
from pants_occlum.enclave.nodes import enclave_config
from pants_occlum.enclave.rootfs import booted_image, booted_settings
from pants_occlum.enclave.target_types import EdmmField, EnclaveImageField, SgxModeField
from pants_occlum.image.nodes import Image, ImageRequest, image_of, make_image
from pants_occlum.invalid import invalid_target

CONFIG = "Occlum.json"


@dataclass(frozen=True)
class Runnable:
    """`config`: the whole Occlum.json as JSON, None of an image without an enclave."""

    image: Image
    config: bytes | None


async def runnable_of(target: Target, who: str) -> Runnable:
    """What is run of an `occlum_image` or `occlum_enclave`; `who` names it in errors."""
    if target.has_field(ImageBomsField):
        return Runnable(await make_image(ImageRequest(target.address), **implicitly()), None)
    if not target.has_field(EnclaveImageField):
        raise invalid_target(
            f"{who} must be an `occlum_image` or `occlum_enclave`, but {target.address} is a "
            f"`{target.alias}`."
        )
    image = await booted_image(target) or await image_of(target, EnclaveImageField)
    if image is None:
        raise invalid_target(f"{target.address} has no `image`.")
    document = plain(parse_json(await enclave_config(target), CONFIG))
    is_hardware = (target[SgxModeField].value or "HW") == "HW"
    if target[EdmmField].value and is_hardware:  # memory is what the platform allows then
        document.setdefault("feature", {})["enable_edmm"] = True
    boot = await booted_settings(target)
    if boot is not None and boot.entry_point:
        document["entry_points"] = [boot.entry_point]
    if boot is not None and boot.env:
        env = document.setdefault("env", {})
        env["default"] = [*env.get("default", ()), *boot.env]
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    return Runnable(image, text.encode())
