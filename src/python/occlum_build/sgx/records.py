"""Binary records as tables: field name -> (offset in bytes, struct format), little-endian."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PAGE_SIZE = 4096


@dataclass(frozen=True)
class Record:
    """A fixed-size binary record; bytes that no field covers are zero."""

    size: int
    fields: Mapping[str, tuple[int, str]]

    def pack(self, **values: int | bytes) -> bytes:
        """The record with these fields set and everything else zero."""
        buffer = bytearray(self.size)
        self.put(buffer, 0, **values)
        return bytes(buffer)

    def put(self, buffer: bytearray, start: int, /, **values: int | bytes) -> None:
        """Set these fields of the record that begins at `start` of the buffer."""
        for name, value in values.items():
            offset, form = self.fields[name]
            struct.pack_into("<" + form, buffer, start + offset, value)

    def unpack(self, data: bytes, start: int = 0) -> dict[str, Any]:
        """All fields of the record that begins at `start`; the caller has checked the size."""
        return {
            name: struct.unpack_from("<" + form, data, start + offset)[0]
            for name, (offset, form) in self.fields.items()
        }


def round_up(value: int, unit: int) -> int:
    """The smallest multiple of `unit` that is not below `value`."""
    return -(-value // unit) * unit


def pages_of(size: int) -> int:
    """The number of pages that hold `size` bytes."""
    return -(-size // PAGE_SIZE)
