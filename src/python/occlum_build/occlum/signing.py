"""The half of signing that needs a key or a signature; what it makes is never cached."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import KEY_BYTES
from occlum_build.files.reading import read_file
from occlum_build.occlum.toolchain import TEST_KEY, ToolchainDirectory
from occlum_build.sgx import keys
from occlum_build.sgx.sign import Unsigned, finish
from occlum_build.sgx.sigstruct import MODULUS_SIZE

# MRSIGNER of etc/template/Enclave.pem, the key that everybody has who has Occlum.
PUBLIC_TEST_MRSIGNER = "83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e"


@dataclass(frozen=True)
class KeyFile:
    """A PEM private key on this machine."""

    path: Path


@dataclass(frozen=True)
class SignerCommand:
    """A command that holds the key: data on its stdin, 384 bytes on its stdout; no shell."""

    command: tuple[str, ...]
    public_key: Path


@dataclass(frozen=True)
class DetachedSignature:
    """A signature that was made elsewhere over the same data (384 bytes)."""

    signature: Path
    public_key: Path


Signer = Union[KeyFile, SignerCommand, DetachedSignature]


@dataclass(frozen=True)
class OpenSigner:
    """A signer whose key file, or public key, was read, once: what it signs is of that key."""

    signer: Signer
    modulus: int
    key: keys.PrivateKey | None = field(repr=False)

    @property
    def mrsigner(self) -> str:
        """MRSIGNER in hex of what this signer signs."""
        return _mrsigner_of(self.modulus)

    def sign(self, data: bytes) -> bytes:
        """384 bytes, most significant first; OcclumError `signer` or `io`."""
        if self.key is not None:
            return keys.sign_data(self.key, data)
        if isinstance(self.signer, SignerCommand):
            return keys.run_signer(self.signer.command, data)
        if isinstance(self.signer, DetachedSignature):
            return read_file(self.signer.signature, KEY_BYTES)
        raise ValueError("there is no key")


def open_signer(signer: Signer) -> OpenSigner:
    """Read the key of a signer; OcclumError `io` or `sign-key`."""
    if isinstance(signer, KeyFile):
        key = keys.read_private_key(signer.path)
        return OpenSigner(signer, keys.modulus_of(key), key)
    return OpenSigner(signer, keys.load_modulus(read_file(signer.public_key, KEY_BYTES)), None)


def public_test_mrsigner(toolchain: Path) -> str:
    """MRSIGNER of the test key in a toolchain, "" where it has none that can be read."""
    path = public_test_key(toolchain)
    if path is None:
        return ""
    try:
        return _mrsigner_of(keys.modulus_of(keys.read_private_key(path, is_to_sign=False)))
    except OcclumError:
        return ""


def _mrsigner_of(modulus: int) -> str:
    return hashlib.sha256(modulus.to_bytes(MODULUS_SIZE, "little")).hexdigest()


def public_test_key(toolchain: Path) -> Path | None:
    """The test key in a toolchain, None where there is none in it."""
    try:
        return ToolchainDirectory(toolchain).file(TEST_KEY)
    except OcclumError:
        return None


def finish_signing(enclave: bytes, unsigned: Unsigned, signer: OpenSigner) -> bytes:
    """The signed file; raises what `keys` and `finish` raise: the signature is verified."""
    return finish(enclave, unsigned, signer.sign(unsigned.signing_data), signer.modulus)


def finish_with_test_key(enclave: bytes, unsigned: Unsigned, pem: bytes) -> bytes:
    """The signed file, by the public test key of a toolchain: no secret, it may be in memory."""
    key = keys.load_private_key(pem)
    return finish(
        enclave, unsigned, keys.sign_data(key, unsigned.signing_data), keys.modulus_of(key)
    )
