"""Readers of binary formats: ELF files, archives, secure file systems, enclaves, keys."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Callable

from hostile.fuzzing.text_readers import MAC, told
from hostile.fuzzing.workplace import SEPARATOR, file_of, fresh_directory
from occlum_build.elf.archive import read_outcome
from occlum_build.elf.facts import ElfFacts, outcome_from_json, outcome_to_json
from occlum_build.elf.linker import Linker
from occlum_build.elf.placement import placements
from occlum_build.elf.read import read_facts
from occlum_build.elf.testing import MemoryView
from occlum_build.errors import OcclumError
from occlum_build.files.json_text import load_json
from occlum_build.image.testing import library
from occlum_build.occlum.archive import unpack_toolchain
from occlum_build.sefs.extract import unzip_image
from occlum_build.sefs.fs_format import BLOCK_SIZE, ROOT_INODE, disk_filename
from occlum_build.sefs.keys import read_key_file
from occlum_build.sefs.pf_crypto import IntegrityOnly
from occlum_build.sefs.pf_format import (
    ENCRYPTED_PART,
    ENCRYPTED_PART_END,
    ENCRYPTED_PART_OFFSET,
    ENTRY_SIZE,
    NODE_SIZE,
    PLAIN_PART,
    format_mac,
    parse_mac,
)
from occlum_build.sefs.pf_reader import PfReader
from occlum_build.sefs.pf_writer import BytesSource, PfWriter
from occlum_build.sefs.verify import verify_image
from occlum_build.sgx.builtin_config import patch_builtin_config
from occlum_build.sgx.keys import load_modulus, load_private_key
from occlum_build.sgx.measurement import read_sigstruct, sigstruct_to_json
from occlum_build.sgx.sign import Unsigned, prepare
from occlum_build.sgx.sigstruct import Sigstruct
from occlum_build.sgx.vectors_for_tests import enclave as enclave_of_vectors

_MAX_PARTS = 16
_MAC_OFFSET = 96  # of an inode


def elf(data: bytes) -> None:
    """The facts of an ELF file, as JSON and back, and its closure."""
    facts = read_facts(data)
    text = json.dumps(outcome_to_json(facts))
    if outcome_from_json(json.loads(text)) != facts:
        raise AssertionError("the facts do not come back")
    if isinstance(facts, ElfFacts):
        names = ["libc.so.6", *facts.needed[:20]]
        found = {f"/lib/{name.strip('/')}": library() for name in names if "\0" not in name}
        view = MemoryView({**found, "/bin/app": facts, "/lib64/ld-linux-x86-64.so.2": library()})
        closure = Linker(view, None).close("/bin/app", "/bin/app")
        placements(closure)
        told(closure.problems)


def archive(data: bytes) -> None:
    """The ELF files in a zip archive, and the `#!` line of any file, as JSON and back."""
    outcome = read_outcome(io.BytesIO(data))
    text = json.dumps(outcome_to_json(outcome))
    if outcome_from_json(json.loads(text)) != outcome:
        raise AssertionError("what was found does not come back")


def sefs(data: bytes) -> None:
    """A secure file system under right tags, as only a forger writes it: verified and unpacked.

    The first part of the input is the content of `metadata`, the others are those of the inodes.
    """
    first, *contents = data.split(SEPARATOR)[:_MAX_PARTS]
    with fresh_directory() as directory:
        image = directory / "image"
        image.mkdir()
        _forge(image, bytearray(first), contents)
        try:
            told(verify_image(image).report.errors)
        except OcclumError as error:
            told(error.problems)
        unzip_image(image, directory / "tree")


def _forge(image: Path, metadata: bytearray, contents: list[bytes]) -> None:
    writer = PfWriter()
    for number, content in enumerate(contents, ROOT_INODE):
        name = disk_filename(number).hex()
        mac = writer.write(image / name, name.encode(), BytesSource(content), IntegrityOnly())
        start = number * BLOCK_SIZE + _MAC_OFFSET
        if start + len(mac) <= len(metadata):
            metadata[start : start + len(mac)] = mac
    writer.write(image / "metadata", b"metadata", BytesSource(bytes(metadata)), IntegrityOnly())


def protected_file(data: bytes) -> None:
    """A protected file as it is, and with the tags that its content asks for."""
    for content in (data, _resealed(data)):
        with file_of(content, "f") as path:
            try:
                with PfReader(path, IntegrityOnly()) as reader:
                    reader.check_all()
                    reader.read(0, min(reader.size, 10))
            except OcclumError as error:
                told(error.problems)


def _resealed(data: bytes) -> bytes:
    """The file with right tags for its first data nodes, their MHT node and node 0."""
    file = bytearray(data)
    nodes = len(file) // NODE_SIZE
    if not nodes:
        return data
    seal = IntegrityOnly()
    part = slice(ENCRYPTED_PART_OFFSET, ENCRYPTED_PART_END)
    fields = ENCRYPTED_PART.unpack(bytes(file[part]))
    if nodes > 2:
        view = memoryview(file)
        stored = [view[n * NODE_SIZE : (n + 1) * NODE_SIZE] for n in range(2, min(nodes, 98))]
        entries = seal.seal(stored, 2)
        file[NODE_SIZE : NODE_SIZE + len(entries)] = entries
        mht = seal.seal([view[NODE_SIZE : 2 * NODE_SIZE]], 1)
        fields["mht_key"], fields["mht_gmac"] = mht[: ENTRY_SIZE // 2], mht[ENTRY_SIZE // 2 :]
        file[part] = ENCRYPTED_PART.pack(**fields)
    plain = PLAIN_PART.unpack(bytes(file[: PLAIN_PART.size]))
    plain["meta_data_gmac"] = seal.seal_metadata(bytes(file[part])).mac
    file[: PLAIN_PART.size] = PLAIN_PART.pack(**plain)
    return bytes(file)


def sigstruct(data: bytes) -> None:
    """A SIGSTRUCT by itself or in a signed enclave."""
    found = read_sigstruct(data)
    json.dumps(sigstruct_to_json(found))
    if Sigstruct.from_bytes(found.to_bytes()) != found:
        raise AssertionError("the SIGSTRUCT does not come back")


def enclave_xml(data: bytes) -> None:
    """An Enclave.xml, and what is to be signed of an enclave by it."""
    _measured(enclave_of_vectors(), data)


def enclave(data: bytes) -> None:
    """A libOS that gets its configuration and is measured."""
    try:
        patched = patch_builtin_config(data, MAC)
    except OcclumError as error:
        told(error.problems)
        patched = data
    _measured(patched, b"<EnclaveConfiguration/>")


def _measured(file: bytes, xml: bytes) -> None:
    unsigned = prepare(file, xml)
    if Unsigned.from_json(json.loads(json.dumps(unsigned.to_json()))) != unsigned:
        raise AssertionError("the unsigned enclave does not come back")


def unsigned(data: bytes) -> None:
    """A measured enclave that waits for its signature."""
    value = load_json(data, "unsigned.json")
    if isinstance(value, dict):
        Unsigned.from_json(value)


def toolchain(data: bytes) -> None:
    """A toolchain in a tar archive, also a compressed one."""
    with file_of(data, "toolchain.tar") as path:
        unpack_toolchain(path, path.parent / "out", "HW")


def keys(data: bytes) -> None:
    """A key of an image, a MAC, and keys that sign."""
    readers: tuple[Callable[[bytes], object], ...] = (load_private_key, load_modulus, _mac)
    for reader in readers:
        try:
            reader(data)
        except OcclumError as error:
            told(error.problems)
    with file_of(data, "key") as path:
        key = read_key_file(path)
    format_mac(bytes.fromhex(key.fingerprint()))


def _mac(text: bytes) -> bytes:
    return parse_mac(text.decode("latin-1"))
