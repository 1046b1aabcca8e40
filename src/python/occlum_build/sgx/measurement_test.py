from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.sgx import vectors_for_tests as vectors
from occlum_build.sgx.measurement import (
    Measurement,
    has_valid_signature,
    read_sigstruct,
    sigstruct_to_json,
)
from occlum_build.sgx.metadata_records import SIGSTRUCT_OFFSET
from occlum_build.sgx.sign import sign

METADATA = vectors.NOTE_OFFSET + 25
SIGNED = sign(vectors.enclave(), vectors.config("occlum_edmm"), vectors.key(), vectors.DATE)


def test_identity_of_a_signed_enclave() -> None:
    case = vectors.case("enc_mini.so", "occlum_edmm")
    measurement = Measurement.of(read_sigstruct(SIGNED))
    assert measurement.mrenclave.hex() == case["mrenclave"]
    assert measurement.mrsigner.hex() == case["mrsigner"]


def test_sigstruct_by_itself() -> None:
    sigstruct = read_sigstruct(SIGNED)
    assert read_sigstruct(sigstruct.to_bytes()) == sigstruct


def test_validity_covers_signature_and_quotients() -> None:
    sigstruct = read_sigstruct(SIGNED)
    assert has_valid_signature(sigstruct)
    changes: tuple[dict[str, Any], ...] = (
        {"isv_svn": 1},
        {"q1": 1},
        {"exponent": 5},
        {"signature": 1},
        {"modulus": 0},
    )
    for change in changes:
        assert not has_valid_signature(dataclasses.replace(sigstruct, **change))


def test_json_view() -> None:
    view = sigstruct_to_json(read_sigstruct(SIGNED))
    assert view["date"] == "20261121" and view["signature_valid"] is True
    assert view["attributes"]["flags"] == "0000000000000004"


def test_copies_that_differ_are_refused() -> None:
    with pytest.raises(OcclumError, match="copies of the SIGSTRUCT"):
        read_sigstruct(vectors.patched(SIGNED, METADATA + SIGSTRUCT_OFFSET + 1026, "<H", 9))


def test_damaged_metadata_size() -> None:
    with pytest.raises(OcclumError, match="its size is 0"):
        read_sigstruct(vectors.patched(SIGNED, METADATA + 16, "<I", 0))


def test_unsigned_enclave_has_none() -> None:
    with pytest.raises(OcclumError, match="not signed"):
        read_sigstruct(vectors.enclave())
