"""The signed libOS of an instance: taken apart, configured and measured again, its signature."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import ENCLAVE_BYTES
from occlum_build.occlum.instance import SIGNED_LIBOS
from occlum_build.occlum.signing import PUBLIC_TEST_MRSIGNER
from occlum_build.occlum.toolchain import libos_name
from occlum_build.sgx.attributes import FLAG_DEBUG
from occlum_build.sgx.builtin_config import MAC_TEXT_SIZE, SECTION, patch_builtin_config
from occlum_build.sgx.elf_image import ElfImage
from occlum_build.sgx.enclave_elf import METADATA_SIZE, metadata_offset
from occlum_build.sgx.measurement import has_valid_signature, read_sigstruct, sigstruct_to_json
from occlum_build.sgx.metadata_records import SIGSTRUCT_OFFSET
from occlum_build.sgx.sign import Unsigned, parse_date, prepare
from occlum_build.sgx.sigstruct import SIGSTRUCT_SIZE, Sigstruct
from occlum_build.verify.files import Files
from occlum_build.verify.rows import Table

SIGNED = f"build/{SIGNED_LIBOS}"
_SH_SIZE_OFFSET = 32
# Not of the configuration: who signed, when, and what is compared by itself.
_OTHERS = ("schema", "attributes", "date", "mrenclave", "mrsigner", "signature_valid")


@dataclass(frozen=True)
class Libos:
    """A signed libOS taken apart.

    `unsigned` is the file before it was signed, `builtin` the text of `.builtin_config`, `bare` the
    libOS as it was installed, without that text.
    """

    signed: bytes
    unsigned: bytes
    start: int
    sigstruct: Sigstruct
    builtin: bytes
    bare: bytes

    @property
    def original(self) -> str:
        """The hex SHA-256 of the libOS as it was installed."""
        return hashlib.sha256(self.bare).hexdigest()


def read_libos(files: Files, table: Table) -> Libos | None:
    """The signed libOS; None, and rows that say why, where it is none."""
    try:
        signed = files.read(SIGNED, ENCLAVE_BYTES)
        sigstruct = read_sigstruct(signed)
        start = metadata_offset(ElfImage(signed), signed=True)
        unsigned = signed[:start] + bytes(METADATA_SIZE) + signed[start + METADATA_SIZE :]
        return Libos(signed, unsigned, start, sigstruct, *_builtin(unsigned))
    except OcclumError as error:
        table.failed(SIGNED, "signed enclave", error)
        return None


def _builtin(unsigned: bytes) -> tuple[bytes, bytes]:
    """The text of `.builtin_config`, and the file with none in it."""
    image = ElfImage(unsigned)
    section = image.section(SECTION)
    if section is None or section.size not in (MAC_TEXT_SIZE, MAC_TEXT_SIZE + 1):
        raise OcclumError("builtin-config", f"there is no section {SECTION} of a libOS")
    text = image.read(section.offset, section.size, f"section {SECTION}")
    bare = bytearray(unsigned)
    bare[section.offset : section.offset + section.size] = bytes(section.size)
    struct.pack_into("<Q", bare, section.header_offset + _SH_SIZE_OFFSET, MAC_TEXT_SIZE)
    return bytes(text), bytes(bare)


def check_libos(libos: Libos, mac: str, xml: bytes | None, table: Table) -> str:
    """Rows of the libOS and its SIGSTRUCT; MRENCLAVE in hex as recomputed, "" where it is not.

    It is that of the bare libOS with the MAC and the Enclave.xml that the file systems and the
    configuration stand for, whatever is burnt in. `xml` is None where that is not known.
    """
    text = libos.builtin.decode("ascii", "replace")
    table.compare(SIGNED, f"MAC in {SECTION}", text.rstrip("\n"), mac)
    recomputed, sigstruct = "", libos.sigstruct
    try:
        if xml is None:
            raise OcclumError("verify", "without a configuration it cannot be recomputed")
        newline = len(libos.builtin) > MAC_TEXT_SIZE
        patched = patch_builtin_config(libos.bare, mac, with_newline=newline)
        unsigned = prepare(patched, xml, _date(sigstruct))
    except OcclumError as error:
        stated = sigstruct.mrenclave.hex()
        for problem in error.problems[:1]:
            table.differs(SIGNED, "MRENCLAVE", problem.message, stated=stated)
    else:
        recomputed = unsigned.mrenclave.hex()
        table.compare(SIGNED, "MRENCLAVE", sigstruct.mrenclave.hex(), recomputed)
        _check_metadata(libos, unsigned, table)
        _check_fields(sigstruct, unsigned.sigstruct, table)
    _check_signature(sigstruct, table)
    return recomputed


def _date(sigstruct: Sigstruct) -> str:
    """That of a SIGSTRUCT, or any other where it has none: it is told in a row of its own."""
    try:
        parse_date(sigstruct.date)
    except OcclumError:
        return "19700101"
    return sigstruct.date


def _check_metadata(libos: Libos, unsigned: Unsigned, table: Table) -> None:
    """The layout of the enclave and all else in its metadata, but for the SIGSTRUCT."""
    stated = _without_sigstruct(libos.signed[libos.start : libos.start + METADATA_SIZE], unsigned)
    made = _without_sigstruct(unsigned.metadata, unsigned)
    note = ""
    if stated != made:
        at = next(index for index in range(METADATA_SIZE) if stated[index] != made[index])
        note = f"the first byte that differs is {at:#x}, in the file {libos.start + at:#x}"
    digests = hashlib.sha256(stated).hexdigest(), hashlib.sha256(made).hexdigest()
    table.compare(SIGNED, "layout in the metadata, SHA-256", *digests, note)


def _without_sigstruct(metadata: bytes, unsigned: Unsigned) -> bytes:
    data = bytearray(metadata)
    for copy in unsigned.copies:
        start = copy + SIGSTRUCT_OFFSET
        data[start : start + SIGSTRUCT_SIZE] = bytes(SIGSTRUCT_SIZE)
    return bytes(data)


def _check_fields(stated: Sigstruct, asked: Sigstruct, table: Table) -> None:
    """What the configuration asks of SIGSTRUCT, field by field."""
    for (name, one), (_, other) in zip(_fields(stated), _fields(asked)):
        table.compare(SIGNED, f"SIGSTRUCT {name}", one, other)


def _fields(sigstruct: Sigstruct) -> Iterator[tuple[str, Any]]:
    found = sigstruct_to_json(replace(sigstruct, modulus=0, signature=0, q1=0, q2=0))
    for name, value in sorted(found["attributes"].items()):
        yield f"attributes.{name}", value
    for name, value in sorted(found.items()):
        if name not in _OTHERS:
            yield name, value


def _check_signature(sigstruct: Sigstruct, table: Table) -> None:
    valid = has_valid_signature(sigstruct)
    if valid:
        table.agrees(SIGNED, "signature", "valid", "RSA-3072 with the key in SIGSTRUCT")
    else:
        note = "it does not verify with the key in SIGSTRUCT: no CPU starts this enclave"
        table.differs(SIGNED, "signature", note, stated="not valid", recomputed="valid")
    try:
        parse_date(sigstruct.date)
    except OcclumError as error:
        table.failed(SIGNED, "SIGSTRUCT date", error)
    else:
        table.agrees(SIGNED, "SIGSTRUCT date", sigstruct.date)


def check_signer(sigstruct: Sigstruct, expected: str | None, table: Table) -> None:
    """The rows of MRSIGNER, whose key it is only somebody else can tell, and of a debug enclave."""
    if not sigstruct.flags_mask & FLAG_DEBUG:
        note = "it may be run so that its memory can be read: its attestation report tells"
        table.unknown(SIGNED, "whether it is debugged", note, stated="debuggable")
    found = sigstruct.mrsigner.hex()
    if expected is not None:
        table.compare("--expect-mrsigner", "MRSIGNER", expected.lower(), found)
    elif found == PUBLIC_TEST_MRSIGNER:
        note = "Occlum's public test key: everybody can sign with it"
        table.unknown(SIGNED, "whose key MRSIGNER is", note, stated=found)
    else:
        note = "compare it with what the signer says, or give --expect-mrsigner"
        table.unknown(SIGNED, "whose key MRSIGNER is", note, stated=found)


def check_unsigned(files: Files, libos: Libos, sgx_mode: str, version: str, table: Table) -> None:
    """The libOS before it was signed, where it is there: the same file but for the metadata."""
    path = f"build/lib/{libos_name(sgx_mode)}.{version}"
    if not files.is_whole and not files.kind(path):
        return
    try:
        stated = hashlib.sha256(files.read(path, ENCLAVE_BYTES)).hexdigest()
    except OcclumError as error:
        table.failed(path, "SHA-256", error)
        return
    made = hashlib.sha256(libos.unsigned).hexdigest()
    table.compare(path, "SHA-256", stated, made, f"it is not the file that was signed, {SIGNED}")
