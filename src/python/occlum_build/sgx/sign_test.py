from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx import vectors_for_tests as vectors
from occlum_build.sgx.keys import load_private_key, modulus_of, sign_data
from occlum_build.sgx.measurement import read_sigstruct
from occlum_build.sgx.sign import Unsigned, finish, parse_date, prepare, sign, sign_sigstruct
from occlum_build.sgx.sigstruct import Sigstruct

KEY = load_private_key(vectors.key())
# The element that the message of a refused configuration has to name.
OFFENDERS = {
    "bad_attr": "ProdID",
    "bad_dup": "ProdID",
    "bad_empty": "ProdID",
    "bad_heap": "HeapMinSize",
    "bad_kss": "ISVEXTPRODID_L",
    "bad_neg": "ProdID",
    "bad_range": "ProdID",
    "bad_unaligned_stack": "StackMaxSize",
    "bad_unknown": "Foo",
    "blank_in": "ProdID",
    "elr_fit_page_over": "ELRangeSize",
    "elr_image_below": "EnclaveImageAddress",
    "elr_image_unaligned": "EnclaveImageAddress",
    "elr_nofit": "ELRangeSize",
    "elr_notpow2": "ELRangeSize",
    "elr_unaligned_start": "ELRangeStartAddress",
    "elrange_bad": "ELRangeSize",
    "empty_file": "no element found",
    "le_bad": "LaunchKey",
    "mask_over": "MiscMask",
    "misc_over": "MiscSelect",
    "nested": "ProdID",
    "pool_gt": "TCSMinPool",
    "stack_small": "StackMinSize",
    "tcsmax_lt": "TCSMaxNum",
    "trailing": "ProdID",
    "user_region_bad_misc": "UserRegionSize",
    "user_region_mask0": "UserRegionSize",
    "wrong_root": "EnclaveConfiguration",
}


def name_of(case: dict[str, Any]) -> str:
    return f"{case['enclave']}-{case['config']}"


@pytest.mark.parametrize("case", [c for c in vectors.cases() if c["ok"]], ids=name_of)
def test_signs_as_the_reference_does(case: dict[str, Any]) -> None:
    enclave = vectors.enclave(case["enclave"])
    unsigned = prepare(enclave, vectors.config(case["config"]), case["date"])
    signed = finish(enclave, unsigned, sign_data(KEY, unsigned.signing_data), modulus_of(KEY))
    sigstruct = read_sigstruct(signed)
    assert unsigned.mrenclave.hex() == case["mrenclave"]
    assert sigstruct.mrsigner.hex() == case["mrsigner"]
    assert hashlib.sha256(sigstruct.to_bytes()).hexdigest() == case["sigstruct_sha256"]
    assert hashlib.sha256(signed).hexdigest() == case["signed_sha256"]


@pytest.mark.parametrize("case", [c for c in vectors.cases() if not c["ok"]], ids=name_of)
def test_refuses_what_the_reference_refuses(case: dict[str, Any]) -> None:
    with pytest.raises(OcclumError) as caught:
        prepare(vectors.enclave(case["enclave"]), vectors.config(case["config"]))
    assert OFFENDERS[case["config"]] in caught.value.problems[0].message
    assert caught.value.problems[0].place is not None


def test_sign_is_prepare_and_finish_and_takes_either_key_format() -> None:
    case = vectors.case("enc_mini.so", "none")
    for name in ("test_key.pem", "test_key_pkcs8.pem"):
        signed = sign(vectors.enclave(), None, vectors.key(name), vectors.DATE)
        assert hashlib.sha256(signed).hexdigest() == case["signed_sha256"]


def test_only_the_date_differs_without_one() -> None:
    dated = prepare(vectors.enclave(), None, vectors.DATE).sigstruct
    default = prepare(vectors.enclave(), None).sigstruct
    assert (dated.date, default.date) == ("20261121", "19700101")
    assert dated.mrenclave == default.mrenclave


def test_unsigned_survives_json() -> None:
    unsigned = prepare(vectors.enclave(), vectors.config("occlum_edmm"), vectors.DATE)
    assert Unsigned.from_json(json.loads(json.dumps(unsigned.to_json()))) == unsigned


@pytest.mark.parametrize(
    ("field", "value"),
    [("schema", 2), ("metadata", "!"), ("copies", [99999]), ("mrenclave", "00"), ("metadata", "")],
)
def test_damaged_json_is_refused(field: str, value: object) -> None:
    values = prepare(vectors.enclave(), None).to_json()
    values[field] = value
    with pytest.raises(OcclumError) as caught:
        Unsigned.from_json(values)
    assert caught.value.code in ("unsigned", "sigstruct")


def test_finish_refuses_another_enclave_file() -> None:
    unsigned = prepare(vectors.enclave(), None)
    signature = sign_data(KEY, unsigned.signing_data)
    with pytest.raises(OcclumError, match="not the one that was measured"):
        finish(vectors.enclave("enc_mini_tls.so"), unsigned, signature, modulus_of(KEY))


@pytest.mark.parametrize("damage", ["short", "other data", "other key", "byte order"])
def test_finish_refuses_a_signature_that_does_not_verify(damage: str) -> None:
    unsigned = prepare(vectors.enclave(), None)
    signature = sign_data(KEY, b"?" if damage == "other data" else unsigned.signing_data)
    modulus = modulus_of(KEY) + (2 if damage == "other key" else 0)
    if damage == "short":
        signature = signature[1:]
    if damage == "byte order":
        signature = signature[::-1]
    with pytest.raises(OcclumError) as caught:
        finish(vectors.enclave(), unsigned, signature, modulus)
    assert caught.value.code == "signature"


def test_signed_enclave_is_not_signed_again() -> None:
    signed = sign(vectors.enclave(), None, vectors.key())
    with pytest.raises(OcclumError, match="signed already"):
        prepare(signed, None)


@pytest.mark.parametrize("text", ["", "2026-11-21", "20261301", "00000101", "2026112\u0661"])
def test_bad_dates(text: str) -> None:
    with pytest.raises(OcclumError) as caught:
        parse_date(text)
    assert caught.value.code == "date"


def test_sigstruct_survives_bytes() -> None:
    unsigned = prepare(vectors.enclave(), vectors.config("occlum_kss")).sigstruct
    signature = sign_data(KEY, unsigned.signing_data())
    signed = sign_sigstruct(unsigned, signature, modulus_of(KEY))
    assert Sigstruct.from_bytes(signed.to_bytes()) == signed
    assert len(signed.signing_data()) == 256
    assert signed.signing_data() == unsigned.signing_data()


def test_what_is_no_sigstruct() -> None:
    for data in (b"", bytes(1808)):
        with pytest.raises(OcclumError) as caught:
            Sigstruct.from_bytes(data)
        assert caught.value.code == "sigstruct"


def test_enclaves_too_large_for_the_layout_table_are_refused() -> None:
    for element, value in (("HeapMaxSize", 2**62), ("TCSNum", 2**32 - 1)):
        xml = f"<EnclaveConfiguration><{element}>{value}</{element}></EnclaveConfiguration>"
        with pytest.raises(OcclumError, match="too large"):
            prepare(vectors.enclave(), xml.encode())
