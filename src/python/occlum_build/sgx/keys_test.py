from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from occlum_build.errors import OcclumError
from occlum_build.sgx import keys
from occlum_build.sgx.keys import (
    is_signature,
    load_modulus,
    load_private_key,
    modulus_of,
    read_private_key,
    run_signer,
    sign_data,
)
from occlum_build.sgx.vectors_for_tests import key

_PRIVATE = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)


def private_pem(
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b""
) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    return private.private_bytes(*_PRIVATE, encryption)


def public_pem(private: rsa.RSAPrivateKey, form: serialization.PublicFormat) -> bytes:
    return private.public_key().public_bytes(serialization.Encoding.PEM, form)


def test_both_formats_hold_the_same_key() -> None:
    keys = [load_private_key(key(name)) for name in ("test_key.pem", "test_key_pkcs8.pem")]
    assert modulus_of(keys[0]) == modulus_of(keys[1])
    assert is_signature(b"data", sign_data(keys[0], b"data"), modulus_of(keys[1]))
    assert not is_signature(b"date", sign_data(keys[0], b"data"), modulus_of(keys[1]))


def test_public_key_formats() -> None:
    private = load_private_key(key())
    for form in (serialization.PublicFormat.PKCS1, serialization.PublicFormat.SubjectPublicKeyInfo):
        assert load_modulus(public_pem(private, form)) == modulus_of(private)


@pytest.mark.parametrize(
    ("pem", "message"),
    [
        (private_pem(rsa.generate_private_key(3, 2048)), "2048 bits, SGX needs 3072"),
        (private_pem(ec.generate_private_key(ec.SECP256R1())), "no unencrypted PEM RSA"),
        (private_pem(load_private_key(key()), b"password"), "no unencrypted PEM RSA"),
        (b"", "no unencrypted PEM RSA"),
    ],
    ids=["small", "elliptic", "encrypted", "empty"],
)
def test_keys_that_are_refused(pem: bytes, message: str) -> None:
    with pytest.raises(OcclumError, match=message) as caught:
        load_private_key(pem)
    assert caught.value.code == "sign-key"


def test_numbers_that_make_no_key_do_not_sign_and_have_a_modulus(tmp_path: Path) -> None:
    private = load_private_key(key())
    numbers = private.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        *(numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp),
        private.public_key().public_numbers(),
    ).private_key(unsafe_skip_rsa_key_validation=True)
    path = tmp_path / "key.pem"
    path.write_bytes(private_pem(wrong))
    path.chmod(0o600)
    with pytest.raises(OcclumError, match="no unencrypted PEM RSA private key"):
        read_private_key(path)
    assert modulus_of(read_private_key(path, is_to_sign=False)) == modulus_of(private)


def test_exponent_has_to_be_3() -> None:
    numbers = rsa.RSAPublicNumbers(65537, modulus_of(load_private_key(key())))
    pem = numbers.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.PKCS1
    )
    with pytest.raises(OcclumError, match="exponent is 65537"):
        load_modulus(pem)


def test_a_damaged_key_is_not_quoted() -> None:
    lines = key().decode().splitlines()
    lines[3] = lines[3][:-8] + "SeCrEt!!"
    with pytest.raises(OcclumError) as caught:
        load_private_key("\n".join(lines).encode())
    text = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert not any(line in text for line in [*lines[1:-1], "SeCrEt"])


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"])
def test_bad_public_keys(pem: bytes) -> None:
    with pytest.raises(OcclumError, match="no PEM RSA public key"):
        load_modulus(pem)


def test_public_key_of_another_kind() -> None:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    with pytest.raises(OcclumError, match="no RSA key"):
        load_modulus(public.public_bytes(serialization.Encoding.PEM, form))


def test_signer_gets_the_data_on_stdin() -> None:
    script = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read() * 96)"
    assert run_signer([sys.executable, "-c", script], b"abcd") == b"abcd" * 96


@pytest.mark.parametrize(
    "script",
    [
        "sleep 1000 & echo $! > {pid}; printf '%0384d' 7",
        "(sleep 1; printf '%0384d' 7) & echo $! > {pid}",  # what answers later
        "(exec >&-; sleep 1000) & echo $! > {pid}; printf '%0384d' 7",
    ],
)
def test_what_a_signer_leaves_is_not_waited_for(tmp_path: Path, script: str) -> None:
    pid = tmp_path / "pid"
    try:
        assert run_signer(["sh", "-c", script.format(pid=pid)], b"") == b"7".rjust(384, b"0")
    finally:
        with suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("end", "message"), [("printf no", "2 bytes, not 384"), ("exit 3", "ended with 3")]
)
def test_nor_where_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, message: str
) -> None:
    monkeypatch.setattr(keys, "GRACE_SECONDS", 0.2)
    pid = tmp_path / "pid"
    with pytest.raises(OcclumError, match=message):
        run_signer(["sh", "-c", f"sleep 1000 & echo $! > {pid}; {end}"], b"")
    os.kill(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "empty"),
        (["/nonexistent/signer"], "/nonexistent/signer cannot be run"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "ended with 3"),
        ([sys.executable, "-c", "print('no')"], "3 bytes, not 384"),
        (["yes"], "more than 64 KiB, not 384"),
        (["sh", "-c", "exec <&-; yes & yes"], "more than 64 KiB, not 384"),
        (["a\0b"], "cannot be run: embedded null byte"),
        (["sh", "-c", "exec <&- >&-; exit 7"], "ended with 7"),
    ],
)
def test_signers_that_fail(command: list[str], message: str) -> None:
    with pytest.raises(OcclumError, match=message) as caught:
        run_signer(command, b"data")
    assert caught.value.code == "signer"
