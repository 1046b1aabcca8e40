from __future__ import annotations

import pytest

from occlum_build.errors import OcclumError, Place
from occlum_build.sgx.xml_config import parse_config


def document(body: str) -> bytes:
    return f"<EnclaveConfiguration>{body}</EnclaveConfiguration>".encode()


def test_defaults_and_what_was_given() -> None:
    config = parse_config(None)
    assert (config["TCSNum"], config.tcs_max_num, config.elrange) == (1, 1, None)
    assert config.heap.init == config.heap.greatest == 0x1000000  # not the default of the element
    given = parse_config(document("<HeapInitSize>0x2000</HeapInitSize><TCSNum>3</TCSNum>"))
    assert (given.heap.init, given.tcs_max_num) == (0x2000, 3)


@pytest.mark.parametrize(
    ("text", "value"), [("010", 8), ("0x1F", 31), ("+5", 5), ("0", 0), ("+0X0a", 10), ("00", 0)]
)
def test_numbers_as_c_reads_them(text: str, value: int) -> None:
    assert parse_config(document(f"<ProdID>{text}</ProdID>"))["ProdID"] == value


@pytest.mark.parametrize(
    "text",
    ["", " 5", "5 ", "5x", "0x", "08", "-1", "++1", "1_0", "\u0663", "0b1", "1" * 5000, "1.0"],
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(OcclumError, match="ProdID") as caught:
        parse_config(document(f"<ProdID>{text}</ProdID>"))
    assert len(str(caught.value)) < 300


HOSTILE = {
    "doctype": b'<!DOCTYPE x [<!ENTITY a "1">]><EnclaveConfiguration/>',
    "expansion": b'<!DOCTYPE x [<!ENTITY a "1111"><!ENTITY b "&a;&a;">]>'
    b"<EnclaveConfiguration><ProdID>&b;</ProdID></EnclaveConfiguration>",
    "external": b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><EnclaveConfiguration/>',
    "unknown entity": document("<ProdID>&a;</ProdID>"),
    "instruction": document("<?php 1 ?>"),
    "cdata": document("<ProdID><![CDATA[5]]></ProdID>"),
    "root attribute": b'<EnclaveConfiguration a="1"/>',
    "stray text": document("<ProdID>1</ProdID>x"),
    "second root": document("") + b"<EnclaveConfiguration/>",
    "not closed": b"<EnclaveConfiguration><ProdID>1",
    "not UTF-8": document("<ProdID>1</ProdID>").replace(b"1", b"\xff"),
    "UTF-16": document("").decode().encode("utf-16"),
    "NUL": document("<ProdID>1\0</ProdID>"),
    "deep": b"<EnclaveConfiguration>" * 100000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents(name: str) -> None:
    with pytest.raises(OcclumError) as caught:
        parse_config(HOSTILE[name], "e.xml")
    place = caught.value.problems[0].place
    assert caught.value.code == "enclave-xml"
    assert place is not None and place.file == "e.xml" and place.line >= 1 and place.column >= 1


def test_place_of_the_offending_element() -> None:
    with pytest.raises(OcclumError) as caught:
        parse_config(document("\n  <HW>0</HW>\n    <Nothing>1</Nothing>"), "e.xml")
    assert caught.value.problems[0].place == Place("e.xml", 3, 5)


def test_all_broken_rules_are_told() -> None:
    text = "<StackMaxSize>0x2001</StackMaxSize><HW>1</HW><EnclaveImageAddress>0x1000"
    with pytest.raises(OcclumError) as caught:
        parse_config(document(text + "</EnclaveImageAddress>"))
    names = [problem.message.split(":")[0] for problem in caught.value.problems]
    assert names == ["StackMaxSize", "HW", "EnclaveImageAddress"]


def test_levels_out_of_order() -> None:
    for text, name in (
        ("<HeapInitSize>0x2000000</HeapInitSize>", "HeapInitSize"),
        ("<ReservedMemMinSize>0x1000</ReservedMemMinSize>", "ReservedMemMinSize"),
        ("<StackMinSize>0x80000</StackMinSize>", "StackMinSize"),
    ):
        with pytest.raises(OcclumError, match=name):
            parse_config(document(text))
