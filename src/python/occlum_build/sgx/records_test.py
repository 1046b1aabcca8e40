"""The tables against the offsets that a C compiler gave for the SDK's headers."""

from __future__ import annotations

import pytest

from occlum_build.sgx.metadata_records import GLOBAL_DATA, METADATA_HEADER, THREAD_DATA
from occlum_build.sgx.records import Record, pages_of, round_up
from occlum_build.sgx.sigstruct import SIGSTRUCT
from occlum_build.sgx.vectors_for_tests import VECTORS

TABLES = {
    "global_data_t": GLOBAL_DATA,
    "thread_data_t": THREAD_DATA,
    "metadata_t": METADATA_HEADER,
    "enclave_css_t": SIGSTRUCT,
}
# Where our names say more than those of the headers.
OTHER_NAMES = {
    "magic_num": "magic",
    "header.module_vendor": "vendor",
    "header.date": "date_bcd",
    "body.attributes": "flags",
    "attributes": "flags",
    "body.attribute_mask": "flags_mask",
    "body.enclave_hash": "mrenclave",
    "body.isvext_prod_id": "isv_ext_prod_id",
    "dirs": "patch_offset",
}


def known_offsets() -> list[tuple[str, str, int]]:
    found = []
    for line in (VECTORS / "struct_offsets.txt").read_text().splitlines()[1:]:
        name, offset = line.split(" @")
        struct, _, field = name.partition(".")
        field = OTHER_NAMES.get(field, field.rpartition(".")[2])
        if field in TABLES[struct].fields and not (
            struct == "enclave_css_t" and name.endswith("_t.header")
        ):
            found.append((struct, field, int(offset.split()[0])))
    return found


@pytest.mark.parametrize(("struct", "field", "offset"), known_offsets())
def test_offset(struct: str, field: str, offset: int) -> None:
    assert TABLES[struct].fields[field][0] == offset


def test_most_fields_are_checked() -> None:
    assert len(known_offsets()) > 50


def test_pack_and_unpack() -> None:
    record = Record(8, {"start": (0, "H"), "b": (4, "2s")})
    data = record.pack(start=0x102, b=b"xy")
    assert data == b"\x02\x01\0\0xy\0\0"
    assert record.unpack(b"?" + data, 1) == {"start": 0x102, "b": b"xy"}


def test_rounding() -> None:
    assert [round_up(value, 8) for value in (0, 1, 8, 9)] == [0, 8, 8, 16]
    assert [pages_of(size) for size in (0, 1, 4096, 4097)] == [0, 1, 1, 2]
