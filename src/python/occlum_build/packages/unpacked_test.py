from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.unpacked import unpacked

TEXT = b"".join(b"Package: p%d\nVersion: 1\n\n" % number for number in range(100_000))
PACK: dict[str, Callable[[bytes], bytes]] = {
    "Packages.xz": lzma.compress,
    "Packages.gz": gzip.compress,
    "Packages": bytes,
}


@pytest.mark.parametrize("name", PACK)
def test_each_form(name: str) -> None:
    assert unpacked(PACK[name](TEXT), name, len(TEXT)) == TEXT
    assert unpacked(PACK[name](b""), name, 0) == b""


@pytest.mark.parametrize("name", ["Packages.xz", "Packages.gz"])
def test_several_streams(name: str) -> None:
    assert unpacked(PACK[name](TEXT) + PACK[name](b"more"), name, 1 << 30) == TEXT + b"more"


@pytest.mark.parametrize("name", PACK)
def test_more_than_is_allowed(name: str) -> None:
    with pytest.raises(OcclumError, match="more than 1 MiB"):
        unpacked(PACK[name](TEXT), name, 1 << 20)


@pytest.mark.parametrize("name", ["Packages.xz", "Packages.gz"])
def test_damaged_ones(name: str) -> None:
    whole = PACK[name](TEXT)
    damaged = [whole[:-9], whole[: len(whole) // 2], b"<html>", whole + b"more"]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (1, 40, 2000, -6)]
    for data in damaged:
        try:
            assert unpacked(data, name, 1 << 30) == TEXT  # a bit of the header that says nothing
        except OcclumError as error:
            assert error.code == "archive-index"
            assert f"{name} cannot be unpacked: it " in str(error)


def test_an_xz_that_wants_too_much_memory() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    small = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}])
    block = bytearray(small.compress(b"x" * 100) + small.flush())
    assert filters and b"\x21\x01" in block  # the filter, its size, and the size of the dictionary
    block[block.index(b"\x21\x01") + 2] = 38  # 2 GiB
    with pytest.raises(OcclumError, match="cannot be unpacked"):
        unpacked(bytes(block), "Packages.xz", 1 << 30)
