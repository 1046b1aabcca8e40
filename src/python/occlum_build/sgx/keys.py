"""The RSA keys of enclaves (3072 bit, exponent 3), and signers that hold the key elsewhere.

Nothing here puts a byte of a private key into a message.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from occlum_build.errors import OcclumError
from occlum_build.files.bounds import KEY_BYTES, shown_bytes
from occlum_build.files.secret import read_secret, wipe
from occlum_build.sgx.sigstruct import EXPONENT, MODULUS_SIZE

# For the rest of an answer, when the signer has ended and what it started has its output.
GRACE_SECONDS = 5
_POLL_MS = 50
_KEY_BITS = MODULUS_SIZE * 8
_MAKE_KEY = "openssl genrsa -3 -out key.pem 3072"


PrivateKey = rsa.RSAPrivateKey


def read_private_key(path: Path, *, is_to_sign: bool = True) -> PrivateKey:
    """The key of a PEM file, whose text is wiped from memory; OcclumError `io` or `sign-key`.

    One that is not to sign is read in a hundredth of the time: whether its numbers are those of a
    key is not looked at.
    """
    try:
        pem, _ = read_secret(path, KEY_BYTES)
    except OSError as error:
        raise OcclumError("io", f"{path} cannot be read: {error.strerror}") from error
    try:
        return load_private_key(pem, is_to_sign=is_to_sign)
    finally:
        wipe(pem)


def load_private_key(pem: bytes | bytearray, *, is_to_sign: bool = True) -> PrivateKey:
    """A PEM private key, PKCS#1 or PKCS#8, not encrypted; OcclumError `sign-key` otherwise."""
    try:
        key = serialization.load_pem_private_key(
            pem, password=None, unsafe_skip_rsa_key_validation=not is_to_sign
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own message may quote its input: not passed on, not even as the cause.
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise OcclumError(
            "sign-key", "the signing key is no unencrypted PEM RSA private key", hint=_MAKE_KEY
        )
    _check_numbers(key.public_key())
    return key


def load_modulus(pem: bytes) -> int:
    """The modulus of a PEM public key (PKCS#1 or SubjectPublicKeyInfo)."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise OcclumError("sign-key", "the public key is no PEM RSA public key") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise OcclumError("sign-key", "the public key is no RSA key")
    return _check_numbers(key)


def modulus_of(key: PrivateKey) -> int:
    """The public modulus of a private key."""
    return key.public_key().public_numbers().n


def sign_data(key: PrivateKey, data: bytes) -> bytes:
    """The PKCS#1 v1.5 SHA-256 signature: 384 bytes, most significant first."""
    return key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def run_signer(command: Sequence[str], data: bytes) -> bytes:
    """Have an external command sign: data on its stdin, 384 bytes on its stdout.

    The command is run without a shell; its stderr and its terminal stay the caller's. What it
    started may live on, and is waited for no longer than GRACE_SECONDS for the rest of an answer.
    OcclumError `signer` when it fails or answers with another number of bytes.
    """
    if not command:
        raise OcclumError("signer", "the signer command is empty")
    try:
        signer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except (OSError, ValueError) as error:  # no such program; a NUL in its name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OcclumError("signer", f"the signer {command[0]} cannot be run: {reason}") from error
    with signer:
        try:
            answer = _answer(signer, data)
        except BaseException:  # who interrupts us wants an end of it
            signer.kill()
            raise
        if len(answer) > KEY_BYTES:
            signer.kill()
    if len(answer) <= KEY_BYTES and signer.returncode:
        raise OcclumError("signer", f"the signer {command[0]} ended with {signer.returncode}")
    if len(answer) != MODULUS_SIZE:
        size = f"{len(answer)} bytes"
        if len(answer) > KEY_BYTES:
            size = f"more than {shown_bytes(KEY_BYTES)}"
        raise OcclumError(
            "signer",
            f"the signer {command[0]} answered with {size}, not {MODULUS_SIZE}",
            hint="it has to write the raw PKCS#1 v1.5 SHA-256 signature, not text or base64",
        )
    return answer


def _answer(signer: subprocess.Popen[bytes], data: bytes) -> bytes:
    """What the signer writes, up to a byte more than is allowed; how long it takes is its matter.

    The data are so few that a pipe takes them at once, also where nobody reads them.
    """
    if signer.stdin is None or signer.stdout is None:
        raise ValueError("the signer has no pipes")
    with suppress(BrokenPipeError), signer.stdin:
        signer.stdin.write(data)
    output, answer, deadline = signer.stdout.fileno(), bytearray(), 0.0
    poll = select.poll()
    poll.register(output, select.POLLIN)
    while len(answer) <= KEY_BYTES:
        has_ended = signer.poll() is not None  # asked first: then all that it wrote is there
        if poll.poll(_POLL_MS):
            chunk = os.read(output, KEY_BYTES + 1 - len(answer))
            if not chunk:
                break
            answer += chunk
        elif has_ended:
            deadline = deadline or time.monotonic() + GRACE_SECONDS
            if len(answer) >= MODULUS_SIZE or signer.returncode or time.monotonic() > deadline:
                break
    return bytes(answer)


def is_signature(data: bytes, signature: bytes, modulus: int) -> bool:
    """Whether this is the modulus's signature (most significant byte first) over the data."""
    try:
        key = rsa.RSAPublicNumbers(EXPONENT, modulus).public_key()
        key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _check_numbers(key: rsa.RSAPublicKey) -> int:
    numbers = key.public_numbers()
    if key.key_size != _KEY_BITS:
        raise OcclumError(
            "sign-key", f"the key has {key.key_size} bits, SGX needs {_KEY_BITS}", hint=_MAKE_KEY
        )
    if numbers.e != EXPONENT:
        raise OcclumError(
            "sign-key", f"the key's exponent is {numbers.e}, SGX needs {EXPONENT}", hint=_MAKE_KEY
        )
    return numbers.n
