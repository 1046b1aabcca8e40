"""What a secure file system loses of an image's modes is told of the target that has one made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pants.engine.addresses import Address
from pants.engine.rules import Rule
from pants.engine.target import WrappedTargetRequest

from occlum_build.errors import Problem
from occlum_build.sefs.modes import lost_modes
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import resolve_target
from pants_occlum.findings import Told, findings_of, tell
from pants_occlum.image.nodes import Image
from pants_occlum.subsystem import OcclumSubsystem


@dataclass(frozen=True)
class LostModes:
    """The target with the secure file system, and what that does not keep."""

    address: Address
    problems: tuple[Problem, ...]


def lost_modes_of(address: Address, image: Image) -> LostModes:
    entries = ((entry.path, entry.kind, entry.mode) for entry in image.tree)
    return LostModes(address, tuple(lost_modes(entries)))


@rule
async def tell_lost_modes(lost: LostModes, occlum: OcclumSubsystem) -> Told:
    wrapped = await resolve_target(
        WrappedTargetRequest(lost.address, "a secure file system"), **implicitly()
    )
    return await tell(findings_of(wrapped.target, lost.problems, occlum), **implicitly())


def rules() -> Iterable[Rule]:
    return collect_rules()
