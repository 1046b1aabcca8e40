"""A field that names one target, for target types of this backend, and that target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional, Union

from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.target import SpecialCasedDependencies, Target

from pants_occlum.compat.by_name import implicitly
from pants_occlum.compat.pants_rules import resolve_targets
from pants_occlum.invalid import invalid_field

# Pants' help reads these hints at run time, when Python 3.9 cannot join types with `|`.
RawAddress = Union[str, Iterable[str], None]
Addresses = Optional[tuple[str, ...]]


class OneAddressField(SpecialCasedDependencies):
    """The address of one target, written as text."""

    @classmethod
    def compute_value(cls, raw_value: RawAddress, address: Address) -> Addresses:
        values = [raw_value] if isinstance(raw_value, str) else raw_value
        computed = super().compute_value(values, address)
        if computed is not None and len(computed) != 1:
            raise invalid_field(
                f"The {cls.alias!r} field in target {address} takes the address of one target, "
                f"not {len(computed)}."
            )
        return computed


async def named_target(target: Target, field_type: type[OneAddressField]) -> Target | None:
    """The target that a field names, None where it names none."""
    addresses = target[field_type].to_unparsed_address_inputs()
    found = await resolve_targets(**implicitly({addresses: UnparsedAddressInputs}))
    return found[0] if found else None
