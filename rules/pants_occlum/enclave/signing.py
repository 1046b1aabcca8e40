"""The signature of an enclave: made in a rule, as a key must not meet a process."""

from __future__ import annotations

import json
import posixpath
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pants.engine.addresses import Address
from pants.engine.fs import CreateDigest, FileContent, FileDigest, FileEntry
from pants.engine.rules import Rule

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import KEY_BYTES, TOOLCHAIN_ARCHIVE_BYTES
from occlum_build.files.reading import too_large
from occlum_build.occlum.archive import unpack_toolchain
from occlum_build.occlum.configure import LIBOS, UNSIGNED
from occlum_build.occlum.signing import finish_signing, finish_with_test_key, open_signer
from occlum_build.occlum.toolchain import SGX_MODES, SIGN_KEY
from occlum_build.sgx.measurement import read_sigstruct
from occlum_build.sgx.sign import Unsigned
from occlum_build.sgx.sigstruct import Sigstruct
from pants_occlum.compat.by_name import collect_rules, implicitly, rule
from pants_occlum.compat.pants_rules import create_digest, get_digest_contents, get_digest_entries
from pants_occlum.enclave.keys import EnclaveSignerRequest, enclave_signer
from pants_occlum.enclave.nodes import EnclaveRequest, measured_enclave
from pants_occlum.enclave.toolchain import ToolchainFiles
from pants_occlum.subsystem import OcclumSubsystem


@dataclass(frozen=True)
class SignRequest:
    """`sign` False stops before the signature."""

    address: Address
    sign: bool


@dataclass(frozen=True)
class SignedEnclave:
    """The signed libOS, None when it is not signed, and its SIGSTRUCT."""

    libos: FileDigest | None
    sigstruct: Sigstruct
    by_test_key: bool = False


@dataclass(frozen=True)
class PublicTestKeyRequest:
    toolchain: ToolchainFiles


@dataclass(frozen=True)
class PublicTestKey:
    """The PEM text of the toolchain's public test key, None when it has none."""

    pem: bytes | None


@rule
async def public_test_key(request: PublicTestKeyRequest) -> PublicTestKey:
    file, archive = request.toolchain.files.get(SIGN_KEY), request.toolchain.archive
    if file is not None:
        if file.digest.serialized_bytes_length > KEY_BYTES:
            raise too_large(f"/{file.place}", KEY_BYTES, "toolchain")
        digest = await create_digest(CreateDigest([FileEntry(SIGN_KEY, file.digest)]))
        contents = await get_digest_contents(digest)
        return PublicTestKey(contents[0].content)
    if archive is None:
        return PublicTestKey(None)
    for entry in await get_digest_entries(archive.digest):
        size = entry.file_digest.serialized_bytes_length if isinstance(entry, FileEntry) else 0
        if size > TOOLCHAIN_ARCHIVE_BYTES:
            raise too_large(archive.path, TOOLCHAIN_ARCHIVE_BYTES, "toolchain-archive")
    # Unpacking leaves the key out, so that nothing but a signature without a key reads it.
    contents = await get_digest_contents(archive.digest)
    return PublicTestKey(_key_in_archive(contents[0].content, posixpath.basename(archive.path)))


def _key_in_archive(archive: bytes, name: str) -> bytes | None:
    """The test key in the archive; the mode only names files that are not asked for."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, name), Path(folder, "toolchain")
        path.write_bytes(archive)
        try:
            unpack_toolchain(path, out, SGX_MODES[0], [SIGN_KEY])
        except OcclumError as error:
            if error.code != "toolchain":
                raise
            return None
        (key,) = out.rglob("*.pem")
        return key.read_bytes()  # unpacked by ourselves


@rule(desc="Sign an enclave")
async def sign_enclave(request: SignRequest, occlum: OcclumSubsystem) -> SignedEnclave:
    enclave = await measured_enclave(EnclaveRequest(request.address))
    files = enclave.configured.files
    wanted = [FileEntry(LIBOS, files[LIBOS]), FileEntry(UNSIGNED, files[UNSIGNED])]
    contents = await get_digest_contents(await create_digest(CreateDigest(wanted)))
    by_name = {file.path: file.content for file in contents}
    unsigned = Unsigned.from_json(json.loads(by_name[UNSIGNED]))
    if not request.sign:
        return SignedEnclave(None, unsigned.sigstruct)
    signer = None
    if occlum.signer or occlum.sign_key_file:  # else nothing needs a look in each session
        looked = await enclave_signer(EnclaveSignerRequest(request.address), **implicitly())
        signer = looked.signer
    if signer is not None:
        opened = open_signer(signer)
        if opened.mrsigner != looked.mrsigner:  # what is signed is kept under that
            raise OcclumError(
                "sign-key",
                "the key that signs is another one than when the run began",
                hint="leave the key file alone while Pants runs, then run it again",
            )
        signed = finish_signing(by_name[LIBOS], unsigned, opened)
    else:
        test_key = await public_test_key(PublicTestKeyRequest(enclave.toolchain))
        if test_key.pem is None:
            raise OcclumError(
                "usage",
                "there is no key to sign with: the toolchain has no public test key",
                hint="name a key with [occlum].sign_key_file, or a command with [occlum].signer",
            )
        signed = finish_with_test_key(by_name[LIBOS], unsigned, test_key.pem)
    digest = await create_digest(CreateDigest([FileContent("signed.so", signed)]))
    entries = await get_digest_entries(digest)
    entry = next(one for one in entries if isinstance(one, FileEntry))
    return SignedEnclave(entry.file_digest, read_sigstruct(signed), signer is None)


def rules() -> Iterable[Rule]:
    return collect_rules()
