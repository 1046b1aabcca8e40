from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.signature import Keyring, verify_clear, verify_detached
from occlum_build.packages.testing_apt import KEYRING_OF_DEBIAN, releases_of_apt
from occlum_build.packages.testing_archive import (
    clear_signed,
    handmade_signature,
    key,
    keyring,
    pysequoia,
    signature,
)

CONTENT = b"Suite: stable\n- dashed\nDate: now\n"
DAY = 24 * 60 * 60
RING = Keyring(keyring(), "debian.asc")


def refused(function: Callable[[], object]) -> str:
    with pytest.raises(OcclumError) as raised:
        function()
    assert raised.value.code == "archive-signature"
    return raised.value.problems[0].message


def signer(by: str = "archive") -> str:
    """The fingerprint of the key that signs, which is a subkey."""
    (found,) = verify_detached(CONTENT, signature(CONTENT, by), Keyring(keyring(by), "x"), "x")[1]
    return found


@pytest.mark.parametrize("armoured", [True, False])
def test_what_is_signed_and_by_whom(armoured: bool) -> None:
    ring = Keyring(keyring("other", "archive", armoured=armoured), "debian.gpg")
    clear = verify_clear(clear_signed(CONTENT), ring, "stable of debian")
    apart = verify_detached(CONTENT, signature(CONTENT), ring, "stable of debian")
    assert clear.content.rstrip() == CONTENT.rstrip()
    assert apart.content == CONTENT
    assert clear.signers == apart.signers == (signer(),)
    certificate = key().extract_certificate().fingerprint.upper()
    assert signer() != certificate and ring.owners.keys() > {certificate, signer()}


def test_a_file_may_have_several_signatures_of_which_one_is_enough() -> None:
    both = b"".join(
        bytes(pysequoia.Sig.from_bytes(signature(CONTENT, by))) for by in ("other", "archive")
    )
    assert verify_detached(CONTENT, both, RING, "x").signers == (signer(),)


def test_a_key_that_the_keyring_has_not() -> None:
    message = f"x is signed by {signer('other')}, none of which debian.asc has"
    assert refused(lambda: verify_clear(clear_signed(CONTENT, "other"), RING, "x")) == message
    detached = signature(CONTENT, "other")
    assert refused(lambda: verify_detached(CONTENT, detached, RING, "x")) == message


def test_a_flipped_bit() -> None:
    damaged = clear_signed(CONTENT).replace(b"stable", b"stabld")
    message = refused(lambda: verify_clear(damaged, RING, "x"))
    assert message.startswith(f"x is not what {signer()} signed: ")
    message = refused(lambda: verify_detached(CONTENT + b"\n", signature(CONTENT), RING, "x"))
    assert message.startswith(f"x is not what {signer()} signed: ")


def test_each_flipped_bit_of_a_signature_is_an_error() -> None:
    whole = bytes(pysequoia.Sig.from_bytes(signature(CONTENT)))
    for at in range(0, len(whole) * 8, 7):
        damaged = bytearray(whole)
        damaged[at // 8] ^= 1 << at % 8
        try:
            verify_detached(CONTENT, bytes(damaged), RING, "x")
        except OcclumError as error:
            assert error.code == "archive-signature"
        else:
            assert at // 8 > 60  # what is not signed: the unhashed area


@pytest.mark.parametrize(
    "change",
    [
        lambda signed: b"Suite: evil\n" + signed,
        lambda signed: b"\n" + signed,
        lambda signed: signed + b"Suite: evil\n",
        lambda signed: signed + signed,
        lambda signed: b"<html></html>",
        lambda signed: b"",
        lambda signed: CONTENT,
        lambda signed: pysequoia.sign(key().signer(), CONTENT),
    ],
)
def test_text_outside_of_the_signature(change: Callable[[bytes], bytes]) -> None:
    message = refused(lambda: verify_clear(change(clear_signed(CONTENT)), RING, "x"))
    assert message in ("x has text outside of its signature", "x is no clear-signed text")


def test_a_signature_that_cannot_be_read() -> None:
    signed = clear_signed(CONTENT)
    start = signed.index(b"-----BEGIN PGP SIGNATURE")
    end = signed.index(b"-----END")
    for damaged in (signed[: start + 60] + signed[end:], signed.replace(b"\nw", b"\n!")):
        assert refused(partial(verify_clear, damaged, RING, "x")).startswith("x ")
    for one in (b"", b"<html>", b"\xc2\x01"):
        message = refused(partial(verify_detached, CONTENT, one, RING, "x"))
        assert message.startswith("x has no signature that can be read: ")


def test_the_number_of_signatures_is_bounded() -> None:
    one = bytes(pysequoia.Sig.from_bytes(signature(CONTENT)))
    assert verify_detached(CONTENT, one * 64, RING, "x").signers == (signer(),)
    message = refused(lambda: verify_detached(CONTENT, one * 65, RING, "x"))
    assert message == "x has more than 64 signatures"


def test_a_signature_made_by_hand_is_one() -> None:
    made = handmade_signature(CONTENT, created=int(time.time()))
    assert verify_detached(CONTENT, made, RING, "x").signers == (signer(),)


def test_an_expired_signature() -> None:
    made = handmade_signature(CONTENT, created=int(time.time()), lasts=1)
    time.sleep(1.1)
    message = refused(lambda: verify_detached(CONTENT, made, RING, "x"))
    assert message.startswith(f"x has a signature by {signer()} that expired on 2")


def test_a_signature_of_tomorrow() -> None:
    made = handmade_signature(CONTENT, created=int(time.time()) + DAY)
    message = refused(lambda: verify_detached(CONTENT, made, RING, "x"))
    assert message.startswith(f"x has a signature by {signer()} of 2")
    assert message.endswith("is the clock right?")


def test_a_weak_hash() -> None:
    made = handmade_signature(CONTENT, created=int(time.time()), hash_name="sha1")
    message = refused(lambda: verify_detached(CONTENT, made, RING, "x"))
    assert message == f"x is signed with SHA1 by {signer()}, which is too weak"


def test_a_revoked_key() -> None:
    certificate = key().extract_certificate()
    revocation = certificate.revoke(key().certifier())
    revoked = Keyring(bytes(certificate) + bytes(revocation), "debian.gpg")
    message = refused(lambda: verify_clear(clear_signed(CONTENT), revoked, "x"))
    assert message == f"x is signed by {signer()}, which debian.gpg says is revoked"


def test_a_key_that_has_expired() -> None:
    brief = pysequoia.Tsk.generate("brief", validity_seconds=1)
    certificate = Keyring(bytes(brief.extract_certificate()), "debian.gpg")
    late = handmade_signature(CONTENT, created=int(time.time()) + 2, by=brief)
    time.sleep(2.1)
    message = refused(lambda: verify_detached(CONTENT, late, certificate, "x"))
    assert "which in debian.gpg expired on 2" in message


def test_a_certificate_whose_own_signatures_do_not_count() -> None:
    """Without them a key has no purpose, and nothing that it signs counts."""
    pile = pysequoia.packet.PacketPile.from_bytes(bytes(key().extract_certificate()))
    bare = b"".join(bytes(one) for one in pile if not repr(one.tag).endswith("Signature"))
    message = refused(lambda: verify_clear(clear_signed(CONTENT), Keyring(bare, "d.gpg"), "x"))
    assert message.startswith(f"x is not what {signer()} signed: ")


def test_keyrings_that_are_none() -> None:
    assert refused(lambda: Keyring(b"", "a.asc")) == "a.asc holds no OpenPGP key"
    assert refused(lambda: Keyring(b"<html>", "a.asc")).startswith("a.asc is no OpenPGP keyring: ")
    cut = keyring(armoured=False)[:100]
    assert refused(lambda: Keyring(cut, "a.asc")).startswith("a.asc is no OpenPGP keyring: ")
    for secret in (str(key()).encode(), bytes(key())):
        message = refused(partial(Keyring, secret, "a.asc"))
        assert message == "a.asc holds a secret key"


def test_what_is_needed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    modules: dict[str, Any] = sys.modules
    monkeypatch.setitem(modules, "pysequoia", None)
    with pytest.raises(OcclumError) as raised:
        Keyring(b"", "a.asc")
    (problem,) = raised.value.problems
    assert "pysequoia, which is not installed" in problem.message
    assert problem.hint == "pip install 'pysequoia>=0.1.35'"


def test_real_archives_are_verified(record_property: Callable[[str, object], None]) -> None:
    releases = releases_of_apt()
    if not KEYRING_OF_DEBIAN.exists():
        pytest.skip("there is no keyring of Debian on this machine")
    ring = Keyring(KEYRING_OF_DEBIAN.read_bytes(), KEYRING_OF_DEBIAN.name)
    debian = [path for path in releases if b"\nOrigin: Debian\n" in path.read_bytes()]
    for path in debian:
        signed = verify_clear(path.read_bytes(), ring, path.name)
        assert signed.content.startswith(b"Origin: Debian\n")
        assert signed.signers and signed.content in path.read_bytes()
        strange = refused(partial(verify_clear, path.read_bytes(), RING, path.name))
        assert "none of which debian.asc has" in strange
    record_property("real InRelease files verified", len(debian))
