"""The signature of an enclave: made in a rule, as a key must not meet a process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Optional

from pants.engine.addresses import Address
from pants.engine.fs import (
    CreateDigest,
    Digest,
    DigestContents,
    DigestEntries,
    FileContent,
    FileDigest,
    FileEntry,
)
from pants.engine.rules import Get, Rule, collect_rules, rule

from occlum_build.errors import OcclumError
from occlum_build.occlum.configure import LIBOS, UNSIGNED
from occlum_build.occlum.signing import finish_signing, finish_with_test_key
from occlum_build.sgx.measurement import read_sigstruct
from occlum_build.sgx.sign import Unsigned
from occlum_build.sgx.sigstruct import Sigstruct
from pants_occlum.enclave import EnclaveRequest, MeasuredEnclave
from pants_occlum.enclave_keys import EnclaveSigner, EnclaveSignerRequest

_KEY = "test-key"


@dataclass(frozen=True)
class SignRequest:
    """`sign` False stops before the signature."""

    address: Address
    sign: bool


@dataclass(frozen=True)
class SignedEnclave:
    """The signed libOS, None when it is not signed, and its SIGSTRUCT."""

    libos: Optional[FileDigest]
    sigstruct: Sigstruct
    by_test_key: bool = False


@rule(desc="Sign an enclave")
async def sign_enclave(request: SignRequest) -> SignedEnclave:
    enclave = await Get(MeasuredEnclave, EnclaveRequest(request.address))
    files = enclave.configured.files
    wanted = [FileEntry(LIBOS, files[LIBOS]), FileEntry(UNSIGNED, files[UNSIGNED])]
    test_key = enclave.toolchain.files.get("sign-key")
    if test_key is not None:
        wanted.append(FileEntry(_KEY, test_key.digest))
    contents = await Get(DigestContents, Digest, await Get(Digest, CreateDigest(wanted)))
    by_name = {file.path: file.content for file in contents}
    unsigned = Unsigned.from_json(json.loads(by_name[UNSIGNED]))
    if not request.sign:
        return SignedEnclave(None, unsigned.sigstruct)
    chosen = await Get(EnclaveSigner, EnclaveSignerRequest(request.address))
    if chosen.signer is not None:
        signed = finish_signing(by_name[LIBOS], unsigned, chosen.signer)
    elif _KEY in by_name:
        signed = finish_with_test_key(by_name[LIBOS], unsigned, by_name[_KEY])
    else:
        raise OcclumError(
            "usage",
            "there is no key to sign with: the toolchain has no public test key",
            hint="name a key with [occlum].sign_key_file, or a command with [occlum].signer",
        )
    digest = await Get(Digest, CreateDigest([FileContent("signed.so", signed)]))
    entries = await Get(DigestEntries, Digest, digest)
    entry = next(one for one in entries if isinstance(one, FileEntry))
    return SignedEnclave(entry.file_digest, read_sigstruct(signed), chosen.signer is None)


def rules() -> Iterable[Rule]:
    return collect_rules()
