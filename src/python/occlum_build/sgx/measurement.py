"""What a signed enclave, or a SIGSTRUCT by itself, says: measurement, signer, attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.sgx.elf_image import ElfImage
from occlum_build.sgx.enclave_elf import METADATA_MAGIC, METADATA_SIZE, metadata_offset
from occlum_build.sgx.keys import is_signature
from occlum_build.sgx.metadata_records import DATA_OFFSET, METADATA_HEADER, SIGSTRUCT_OFFSET
from occlum_build.sgx.sigstruct import EXPONENT, MODULUS_SIZE, SIGSTRUCT_SIZE, Sigstruct

_ELF_MAGIC = b"\x7fELF"


@dataclass(frozen=True)
class Measurement:
    """The identity of a signed enclave: what an attestation report shows of it."""

    mrenclave: bytes
    mrsigner: bytes
    isv_prod_id: int
    isv_svn: int

    @classmethod
    def of(cls, sigstruct: Sigstruct) -> Measurement:
        return cls(
            sigstruct.mrenclave, sigstruct.mrsigner, sigstruct.isv_prod_id, sigstruct.isv_svn
        )


def read_sigstruct(data: bytes) -> Sigstruct:
    """The SIGSTRUCT of a signed enclave file, or of the 1808 bytes by themselves.

    Raises OcclumError `enclave-elf` or `sigstruct`; also when the copies in a file differ.
    """
    if not data.startswith(_ELF_MAGIC):
        return Sigstruct.from_bytes(data)
    start = metadata_offset(ElfImage(data), signed=True)
    copies = list(_sigstructs(data[start : start + METADATA_SIZE]))
    if any(copy != copies[0] for copy in copies):
        raise OcclumError("sigstruct", "the copies of the SIGSTRUCT in the file differ")
    return Sigstruct.from_bytes(copies[0])


def has_valid_signature(sigstruct: Sigstruct) -> bool:
    """Whether the signature and its quotients fit the modulus, which a CPU checks too."""
    signature, modulus = sigstruct.signature, sigstruct.modulus
    data = sigstruct.signing_data()
    return (
        sigstruct.exponent == EXPONENT
        and is_signature(data, signature.to_bytes(MODULUS_SIZE, "big"), modulus)
        and sigstruct == sigstruct.signed(signature, modulus)
    )


def sigstruct_to_json(sigstruct: Sigstruct) -> dict[str, Any]:
    """The fields as plain values, numbers of more than 53 bits and byte strings in hexadecimal."""
    return {
        "schema": 1,
        "date": sigstruct.date,
        "type": sigstruct.type,
        "vendor": sigstruct.vendor,
        "hw_version": sigstruct.hw_version,
        "misc_select": sigstruct.misc_select,
        "misc_mask": sigstruct.misc_mask,
        "attributes": {
            "flags": f"{sigstruct.flags:016x}",
            "flags_mask": f"{sigstruct.flags_mask:016x}",
            "xfrm": f"{sigstruct.xfrm:016x}",
            "xfrm_mask": f"{sigstruct.xfrm_mask:016x}",
        },
        "mrenclave": sigstruct.mrenclave.hex(),
        "mrsigner": sigstruct.mrsigner.hex(),
        "isv_prod_id": sigstruct.isv_prod_id,
        "isv_svn": sigstruct.isv_svn,
        "isv_family_id": sigstruct.isv_family_id.hex(),
        "isv_ext_prod_id": sigstruct.isv_ext_prod_id.hex(),
        "signature_valid": has_valid_signature(sigstruct),
    }


def _sigstructs(metadata: bytes) -> Iterator[bytes]:
    """The SIGSTRUCT of every copy of the metadata, each right after the one before."""
    start = 0
    while start + DATA_OFFSET <= len(metadata):
        header = METADATA_HEADER.unpack(metadata, start)
        if header["magic"] != METADATA_MAGIC:
            return
        if header["size"] < DATA_OFFSET:
            raise OcclumError("sigstruct", f"the metadata says its size is {header['size']}")
        position = start + SIGSTRUCT_OFFSET
        yield metadata[position : position + SIGSTRUCT_SIZE]
        start += header["size"]
