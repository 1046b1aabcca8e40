"""Read glibc's /etc/ld.so.cache: which paths it names for a library."""

from __future__ import annotations

from collections.abc import Mapping

from occlum_build.table import Field, Record

MAGIC = b"glibc-ld.so.cache1.1"
HEADER = Record(48, (Field("nlibs", 20, "I"),))
ENTRY = Record(
    24,
    (Field("flags", 0, "i"), Field("key", 4, "I"), Field("value", 8, "I"), Field("hwcap", 16, "Q")),
)
MAX_STRING = 1 << 12  # bytes; a path is no longer
MOST_SHARED = 4  # times that the strings of a cache may be used, which are names within paths
X86_64 = 0x0303  # FLAG_X8664_LIB64 | FLAG_ELF_LIBC6


def read_cache(data: bytes) -> Mapping[str, tuple[str, ...]]:
    """Library name -> paths for any x86-64 CPU, in their order; nothing of what is no cache."""
    start = data.find(MAGIC)  # an older format may stand before it
    if start < 0 or len(data) < start + HEADER.size:
        return {}
    table = data[start:]
    count = HEADER.unpack(table[: HEADER.size])["nlibs"]
    end = min(len(table), HEADER.size + count * ENTRY.size)
    paths: dict[str, list[str]] = {}
    left = MOST_SHARED * len(table)
    for offset in range(HEADER.size, end - ENTRY.size + 1, ENTRY.size):
        entry = ENTRY.unpack(table[offset : offset + ENTRY.size])
        if entry["flags"] == X86_64 and not entry["hwcap"]:
            name, path = _string(table, entry["key"]), _string(table, entry["value"])
            left -= len(name) + len(path)
            if left < 0:
                return {}
            paths.setdefault(name, []).append(path)
    return {name: tuple(found) for name, found in paths.items()}


def _string(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset, offset + MAX_STRING)
    return table[offset : max(end, offset)].decode("utf-8", "replace")
