"""The enclaves, configurations and key that the tests of this package share."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).resolve().parents[4] / "testprojects" / "vectors" / "sign"
DATE = "20261121"
# Facts of enc_mini.so, as readelf prints them.
DYNAMIC_OFFSET = 0x2EF0
DYNAMIC_END = DYNAMIC_OFFSET + 0x110
GLOBAL_DATA_OFFSET = 0x3040
NOTE_OFFSET = 0x3748


def enclave(name: str = "enc_mini.so") -> bytes:
    return (VECTORS / name).read_bytes()


def config(name: str) -> bytes | None:
    """The XML of a case; `none` stands for no file."""
    return None if name == "none" else (VECTORS / "xml" / f"{name}.xml").read_bytes()


def key(name: str = "test_key.pem") -> bytes:
    return (VECTORS / name).read_bytes()


def cases() -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((VECTORS / "cases.json").read_text())
    return loaded


def case(enclave_name: str, config_name: str) -> dict[str, Any]:
    return next(c for c in cases() if (c["enclave"], c["config"]) == (enclave_name, config_name))


def patched(data: bytes, offset: int, form: str, *values: int | bytes) -> bytes:
    """A copy with these values packed at the offset."""
    copy = bytearray(data)
    struct.pack_into(form, copy, offset, *values)
    return bytes(copy)


def with_dynamic(data: bytes, **tags: int) -> bytes:
    """enc_mini.so with other dynamic entries (`t17=0`: tag 17, value 0) for some harmless ones."""
    spare = [21, 0x6FFFFFFD, 0x6FFFFFFB]  # DEBUG, VERDEFNUM, FLAGS_1
    for name, value in tags.items():
        tag = spare.pop()
        for offset in range(DYNAMIC_OFFSET, DYNAMIC_END, 16):
            if struct.unpack_from("<Q", data, offset)[0] == tag:
                data = patched(data, offset, "<QQ", int(name[1:]), value)
    return data
