"""Byte for byte against the reference: every case in testprojects/vectors/gen_conf."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx.config import default_config, generate, parse_json
from occlum_build.sgx.config.jsontext import plain

VECTORS = Path(__file__).parents[5] / "testprojects" / "vectors" / "gen_conf"
CASES = json.loads((VECTORS / "index.json").read_bytes())
ACCEPTED = sorted(case for case in CASES if (VECTORS / f"{case}.xml").exists())
REFUSED = sorted(set(CASES) - set(ACCEPTED))
IMAGE_MAC = "00-11-22-33-44-55-66-77-88-99-aa-bb-cc-dd-ee-ff"
INITFS_MAC = "ff-ee-dd-cc-bb-aa-99-88-77-66-55-44-33-22-11-00"


def test_there_are_cases_of_both_kinds() -> None:
    assert (len(ACCEPTED), len(REFUSED)) == (59, 70)


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_outputs_are_the_reference_s(case: str) -> None:
    document = parse_json((VECTORS / f"{case}.in.json").read_bytes(), "Occlum.json")
    edmm = CASES[case]["edmm_env"] == "YES"
    generated = generate(document, IMAGE_MAC, INITFS_MAC, edmm)
    assert generated.enclave_xml == (VECTORS / f"{case}.xml").read_bytes()
    assert generated.sys_json == (VECTORS / f"{case}.out.json").read_bytes()


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_reference_gives_up_on_is_an_error_with_a_place(case: str) -> None:
    data = (VECTORS / f"{case}.in.json").read_bytes()
    with pytest.raises(OcclumError) as caught:
        edmm = CASES[case]["edmm_env"] == "YES"
        generate(parse_json(data, "Occlum.json"), IMAGE_MAC, INITFS_MAC, edmm)
    place = caught.value.problems[0].place
    assert place is not None
    assert place.file == "Occlum.json"
    assert place.line > 0
    assert place.column > 0


def test_the_default_is_occlum_s() -> None:
    theirs = json.loads((VECTORS / "default.in.json").read_bytes())
    assert plain(default_config()) == theirs
    generate(default_config(), IMAGE_MAC, INITFS_MAC, strict=True)
    generate(default_config(), IMAGE_MAC, INITFS_MAC, edmm=True, strict=True)


@pytest.mark.parametrize(
    "mac", ["", IMAGE_MAC[:-3], IMAGE_MAC.upper(), f"{IMAGE_MAC}\n", "0-" * 16]
)
def test_a_mac_that_is_none(mac: str) -> None:
    for macs in ((mac, INITFS_MAC), (IMAGE_MAC, mac)):
        with pytest.raises(OcclumError) as caught:
            generate(default_config(), *macs)
        assert caught.value.code == "config-mac"
