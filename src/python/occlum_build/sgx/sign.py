"""Signing an enclave in two halves: `prepare` needs no key, `finish` needs a signature.

What lies between them, `Unsigned`, is a value that can be cached, shared and sent to a signer.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.sgx.attributes import attributes_of
from occlum_build.sgx.enclave_elf import METADATA_SIZE, EnclaveElf, read_enclave
from occlum_build.sgx.keys import is_signature, load_private_key, modulus_of, sign_data
from occlum_build.sgx.measure import measure_enclave
from occlum_build.sgx.metadata import Metadata, build_metadata
from occlum_build.sgx.metadata_records import SIGSTRUCT_OFFSET
from occlum_build.sgx.sigstruct import MODULUS_SIZE, SIGSTRUCT_SIZE, Sigstruct
from occlum_build.sgx.xml_config import EnclaveConfig, parse_config
from occlum_build.shown import quoted

DEFAULT_DATE = "19700101"
_SCHEMA = 1
_DATE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")


@dataclass(frozen=True)
class Unsigned:
    """A measured enclave that waits for its signature."""

    enclave_sha256: str
    """Of the enclave file; `finish` refuses another one."""
    sdk_version: str
    metadata_offset: int
    """Where in the file the metadata goes, in bytes."""
    metadata: bytes
    """0x5000 bytes, the SIGSTRUCT in them not signed."""
    copies: tuple[int, ...]
    """Where in the metadata each copy of it begins."""

    @property
    def sigstruct(self) -> Sigstruct:
        """The SIGSTRUCT without its signature."""
        start = self.copies[0] + SIGSTRUCT_OFFSET
        return Sigstruct.from_bytes(self.metadata[start : start + SIGSTRUCT_SIZE])

    @property
    def signing_data(self) -> bytes:
        """The 256 bytes to be signed with RSA-3072, PKCS#1 v1.5, SHA-256."""
        return self.sigstruct.signing_data()

    @property
    def mrenclave(self) -> bytes:
        return self.sigstruct.mrenclave

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`; the metadata in base64, without its zero tail."""
        return {
            "schema": _SCHEMA,
            "enclave_sha256": self.enclave_sha256,
            "sdk_version": self.sdk_version,
            "mrenclave": self.mrenclave.hex(),
            "signing_data": self.signing_data.hex(),
            "metadata_offset": self.metadata_offset,
            "metadata": base64.b64encode(self.metadata.rstrip(b"\0")).decode("ascii"),
            "copies": list(self.copies),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Unsigned:
        """The inverse of `to_json`; OcclumError `unsigned` for anything else."""
        try:
            if values["schema"] != _SCHEMA:
                raise OcclumError("unsigned", f"schema {values['schema']!r} is not {_SCHEMA}")
            metadata = base64.b64decode(values["metadata"], validate=True)
            unsigned = cls(
                enclave_sha256=str(values["enclave_sha256"]),
                sdk_version=str(values["sdk_version"]),
                metadata_offset=int(values["metadata_offset"]),
                metadata=metadata + bytes(METADATA_SIZE - len(metadata)),
                copies=tuple(int(start) for start in values["copies"]),
            )
            stated = unsigned.mrenclave.hex(), unsigned.signing_data.hex()
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise OcclumError("unsigned", f"no unsigned enclave: {error}") from error
        if stated != (values.get("mrenclave"), values.get("signing_data")):
            raise OcclumError("unsigned", "the metadata does not belong to MRENCLAVE and data")
        return unsigned


def parse_date(text: str) -> datetime.date:
    """A date written YYYYMMDD; OcclumError `date` otherwise."""
    match = _DATE.fullmatch(text)
    try:
        if match:
            return datetime.date(*(int(part) for part in match.groups()))
    except ValueError:
        pass
    raise OcclumError("date", f"{quoted(text)} is no date YYYYMMDD")


def prepare(
    enclave: bytes,
    xml: bytes | None,
    date: str = DEFAULT_DATE,
    *,
    config_name: str = "Enclave.xml",
) -> Unsigned:
    """Lay out and measure an unsigned enclave file; `xml` None means the SDK's defaults.

    Raises OcclumError `enclave-xml`, `enclave-elf`, `enclave-layout` or `date`.
    """
    signing_date = parse_date(date)
    config = parse_config(xml, config_name)
    elf = read_enclave(enclave)
    attributes = attributes_of(config)
    metadata = build_metadata(elf, config, attributes)
    mrenclave = _measure(enclave, elf, config, metadata, attributes.ssa_frame_pages)
    sigstruct = Sigstruct.of(config, attributes, mrenclave, signing_date)
    return Unsigned(
        enclave_sha256=hashlib.sha256(enclave).hexdigest(),
        sdk_version=elf.sdk_version,
        metadata_offset=elf.metadata_offset,
        metadata=_with_sigstruct(metadata.data, metadata.copies, sigstruct),
        copies=metadata.copies,
    )


def finish(enclave: bytes, unsigned: Unsigned, signature: bytes, modulus: int) -> bytes:
    """The signed file: the enclave file with its 0x5000 bytes of metadata replaced.

    `signature` is 384 bytes, most significant first. Raises OcclumError `signature` when it does
    not fit, `unsigned` when the enclave file is another one.
    """
    if hashlib.sha256(enclave).hexdigest() != unsigned.enclave_sha256:
        raise OcclumError("unsigned", "the enclave file is not the one that was measured")
    sigstruct = sign_sigstruct(unsigned.sigstruct, signature, modulus)
    start = unsigned.metadata_offset
    metadata = _with_sigstruct(unsigned.metadata, unsigned.copies, sigstruct)
    return enclave[:start] + metadata + enclave[start + METADATA_SIZE :]


def sign_sigstruct(unsigned: Sigstruct, signature: bytes, modulus: int) -> Sigstruct:
    """Add a signature that was made elsewhere; OcclumError `signature` when it does not verify."""
    if len(signature) != MODULUS_SIZE:
        raise OcclumError(
            "signature", f"a signature has {MODULUS_SIZE} bytes, not {len(signature)}"
        )
    if not is_signature(unsigned.signing_data(), signature, modulus):
        raise OcclumError(
            "signature",
            "the signature does not verify with the public key",
            hint="RSA-3072, exponent 3, PKCS#1 v1.5 with SHA-256, most significant byte first",
        )
    return unsigned.signed(int.from_bytes(signature, "big"), modulus)


def sign(enclave: bytes, xml: bytes | None, key_pem: bytes, date: str = DEFAULT_DATE) -> bytes:
    """Both halves with a key at hand: the signed file."""
    key = load_private_key(key_pem)
    unsigned = prepare(enclave, xml, date)
    return finish(enclave, unsigned, sign_data(key, unsigned.signing_data), modulus_of(key))


def _measure(
    enclave: bytes,
    elf: EnclaveElf,
    config: EnclaveConfig,
    metadata: Metadata,
    ssa_frame_pages: int,
) -> bytes:
    image = bytearray(enclave)
    for offset, content in metadata.patches:
        image[offset : offset + len(content)] = content
    elrange = config.elrange
    return measure_enclave(
        bytes(image),
        elf.segments,
        metadata.layout.items,
        tcs_template=metadata.tcs_template,
        ssa_frame_pages=ssa_frame_pages,
        range_size=elrange.size if elrange else metadata.layout.enclave_size,
        image_offset=elrange.image_offset if elrange else 0,
    )


def _with_sigstruct(metadata: bytes, copies: tuple[int, ...], sigstruct: Sigstruct) -> bytes:
    data = bytearray(metadata)
    for copy in copies:
        start = copy + SIGSTRUCT_OFFSET
        data[start : start + SIGSTRUCT_SIZE] = sigstruct.to_bytes()
    return bytes(data)
