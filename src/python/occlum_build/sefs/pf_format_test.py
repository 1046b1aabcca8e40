from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sefs.pf_format import (
    Layout,
    clean_file_name,
    format_mac,
    mht_node_number,
    mht_parent,
    parse_mac,
)
from occlum_build.table import Field, Record


@pytest.mark.parametrize(
    ("size", "data_nodes", "mht_nodes"),
    [
        (0, 0, 0),
        (3072, 0, 0),
        (3073, 1, 1),
        (3072 + 4096, 1, 1),
        (3072 + 4097, 2, 1),
        (3072 + 96 * 4096, 96, 1),
        (3072 + 96 * 4096 + 1, 97, 2),
        (3072 + 97 * 96 * 4096, 9312, 97),
    ],
)
def test_layout(size: int, data_nodes: int, mht_nodes: int) -> None:
    layout = Layout(size)
    assert (layout.data_nodes, layout.mht_nodes) == (data_nodes, mht_nodes)
    assert layout.host_length == 4096 * (1 + data_nodes + mht_nodes)
    assert sum(layout.data_nodes_of(mht) for mht in range(mht_nodes)) == data_nodes


def test_mht_positions() -> None:
    assert [mht_node_number(mht) for mht in (0, 1, 2)] == [1, 98, 195]
    assert mht_parent(1) == (0, 3072)
    assert mht_parent(32) == (0, 3072 + 31 * 32)
    assert mht_parent(33) == (1, 3072)


@pytest.mark.parametrize("path", ["a", "/x/a", "x\\a", "/x\\y/a"])
def test_clean_file_name(path: str) -> None:
    assert clean_file_name(path) == b"a"


@pytest.mark.parametrize("path", ["", "/a/", "x" * 259, "ä" * 130])
def test_clean_file_name_of_wrong_length(path: str) -> None:
    with pytest.raises(OcclumError) as caught:
        clean_file_name(path)
    assert caught.value.code == "pf-name"


def test_mac_text() -> None:
    mac = bytes(range(16))
    assert format_mac(mac) == "00-01-02-03-04-05-06-07-08-09-0a-0b-0c-0d-0e-0f"
    assert parse_mac(format_mac(mac) + "\n") == mac
    for text in ("", "00", format_mac(mac) + "-00", format_mac(mac)[:-1] + "g"):
        with pytest.raises(OcclumError) as caught:
            parse_mac(text)
        assert caught.value.code == "sefs-mac-text"


def test_record_checks_its_table() -> None:
    record = Record(8, (Field("a", 0, "H"), Field("b", 4, "H")))
    assert record.pack(a=1, b=2) == b"\1\0\0\0\2\0\0\0"
    assert record.unpack(b"\1\0\xff\xff\2\0\0\0") == {"a": 1, "b": 2}
    with pytest.raises(ValueError, match="overlaps"):
        Record(8, (Field("a", 0, "I"), Field("b", 2, "H")))
    with pytest.raises(ValueError, match="need 8 bytes"):
        Record(6, (Field("a", 4, "I"),))
