"""A field that names one target, for target types of this backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Optional, Union

from pants.engine.addresses import Address
from pants.engine.target import InvalidFieldException, SpecialCasedDependencies

# Pants' help reads these hints at run time, when Python 3.9 cannot join types with `|`.
_RawAddress = Union[str, Iterable[str], None]
_Addresses = Optional[tuple[str, ...]]


class OneAddressField(SpecialCasedDependencies):
    """The address of one target, written as text."""

    @classmethod
    def compute_value(cls, raw_value: _RawAddress, address: Address) -> _Addresses:
        values = [raw_value] if isinstance(raw_value, str) else raw_value
        computed = super().compute_value(values, address)
        if computed is not None and len(computed) != 1:
            raise InvalidFieldException(
                f"The {cls.alias!r} field in target {address} takes the address of one target, "
                f"not {len(computed)}."
            )
        return computed
