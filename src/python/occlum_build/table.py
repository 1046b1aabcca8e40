"""Binary records as tables: a field is a name, an offset and a `struct` format."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple


class Field(NamedTuple):
    """One field of a record; the offset is in bytes from the start of the record."""

    name: str
    offset: int
    format: str


class Record:
    """A packed record of `size` bytes; bytes that no field covers are zero.

    `order` is that of `struct`: "<" for little-endian, ">" for big-endian.
    The offsets are written out in the tables, as a reader of the format wants to see them, and
    checked here: fields that overlap or leave the record raise ValueError when it is defined.
    """

    def __init__(self, size: int, fields: Sequence[Field], order: str = "<") -> None:
        layout, position = order, 0
        for field in fields:
            if field.offset < position:
                raise ValueError(f"field {field.name} overlaps the field before it")
            layout += f"{field.offset - position}x{field.format}"
            position = field.offset + struct.calcsize(order + field.format)
        if position > size:
            raise ValueError(f"the fields need {position} bytes, the record has {size}")
        self.size = size
        self.names = tuple(field.name for field in fields)
        self._struct = struct.Struct(f"{layout}{size - position}x")

    def pack(self, **values: Any) -> bytes:
        """The record with these values; every field must be given."""
        return self._struct.pack(*(values[name] for name in self.names))

    def pack_in_order(self, *values: Any) -> bytes:
        """The record with these values, one for each field, for tens of thousands of records."""
        return self._struct.pack(*values)

    def unpack(self, data: bytes | memoryview) -> dict[str, Any]:
        """The values of the fields by name; `data` must have the size of the record."""
        return dict(zip(self.names, self._struct.unpack(data)))
