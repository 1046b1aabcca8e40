"""What `occlum-diff` compares: a target, and another one or what was kept of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pants.base.build_root import BuildRoot
from pants.engine.addresses import UnparsedAddressInputs
from pants.engine.target import Target

from occlum_build.errors import OcclumError
from occlum_build.occlum import earlier
from occlum_build.report.sides import GIT, Side, read_side
from occlum_build.shown import escaped
from pants_occlum.compat.by_name import implicitly
from pants_occlum.compat.pants_rules import resolve_targets
from pants_occlum.enclave.checked import CheckedEnclaveRequest, check_enclave_of
from pants_occlum.enclave.target_types import EnclaveImageField
from pants_occlum.invalid import invalid_target
from pants_occlum.problems import enclave_errors
from pants_occlum.report.images import image_of_target, the_one_target


class InvalidComparison(Exception):
    """What a target is to be compared with is nothing to compare with."""


async def side_of_target(target: Target) -> Side:
    """The image of a target, with the measurement where it is an enclave."""
    image = await image_of_target(target)
    side = Side(target.address.spec, image.manifest.full, digest=f"sha256:{image.name}")
    if not target.has_field(EnclaveImageField):
        return side
    with enclave_errors(target.address):
        checked = await check_enclave_of(CheckedEnclaveRequest(target.address), **implicitly())
    record = earlier.from_bytes(checked.measurement, target.address.spec)
    return replace(side, record=record)


async def side_of(operand: str, goal: str) -> Side:
    """A file or directory below the build root, git:REVISION:PATH, or else an address."""
    root = Path(BuildRoot().path)
    if operand.startswith(GIT) or os.path.lexists(root / operand):
        try:
            return read_side(operand, root)
        except OcclumError as error:
            told = "\n".join(map(str, error.problems))
            raise InvalidComparison(f"{goal} --against={escaped(operand)}: {told}") from None
    if ":" not in operand and not operand.startswith("//"):
        raise invalid_target(
            f"`{goal} --against={operand}` is no file, and no address of a target has that form."
        )
    inputs = UnparsedAddressInputs(
        [operand], owning_address=None, description_of_origin=f"`{goal} --against`"
    )
    found = await resolve_targets(**implicitly({inputs: UnparsedAddressInputs}))
    return await side_of_target(the_one_target(found, goal))
