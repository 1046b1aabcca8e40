"""OpenPGP signatures of what archives publish, verified by pysequoia against one keyring alone.

What is signed comes back: nothing else of a file may be used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from functools import cached_property
from typing import Any, NamedTuple

from occlum_build.errors import OcclumError
from occlum_build.shown import listed, some

MOST_SIGNATURES = 64  # of one file

_CODE = "archive-signature"
_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
_BEGIN_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_END = b"-----END PGP SIGNATURE-----"
_WEAK = {"MD5", "RipeMD", "SHA1"}
_KEY_TAGS = ("PublicKey", "PublicSubkey")
_SECRET = b"-----BEGIN PGP PRIVATE KEY BLOCK-----"


class Signed(NamedTuple):
    """What is signed, and the fingerprints of the keys that did it, in capitals and sorted."""

    content: bytes
    signers: tuple[str, ...]


class Keyring:
    """OpenPGP certificates; `name` is the file that errors show.

    Raises OcclumError `archive-signature` for what holds none.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self._data = data
        hint = "export the keys of the archive with `gpg --export`"
        try:
            self.certificates = _pysequoia().Cert.split_bytes(data)
            tags = {_tag(one) for one in _packets(data)}
        except RuntimeError as error:
            message = f"{name} is no OpenPGP keyring: {_first_line(error)}"
            raise OcclumError(_CODE, message, hint=hint) from None
        if "SecretKey" in tags or _SECRET in data:
            raise OcclumError(_CODE, f"{name} holds a secret key", hint=hint)
        if not self.certificates:
            raise OcclumError(_CODE, f"{name} holds no OpenPGP key", hint=hint)

    @cached_property
    def owners(self) -> dict[str, Any]:
        """The certificate of each key, subkeys too, by fingerprint in capitals."""
        found = {}
        for certificate in self.certificates:
            with suppress(RuntimeError):  # of a kind that pysequoia does not know, nor verifies by
                for one in _packets(bytes(certificate)):
                    fingerprint = _value(one, "fingerprint")
                    if fingerprint and _tag(one) in _KEY_TAGS:
                        found[fingerprint.upper()] = certificate
        return found


def verify_clear(data: bytes, keyring: Keyring, what: str) -> Signed:
    """The content of a clear-signed file; `what` is what errors call it.

    Raises OcclumError `archive-signature`, also for text outside of the signature.
    """
    _check_framework(data, what)
    found = _signatures(data[data.rindex(_BEGIN_SIGNATURE) :], what)
    try:
        result = _pysequoia().verify(data, lambda _ids: keyring.certificates)
    except RuntimeError:
        raise _refused(found, keyring, what) from None
    return Signed(result.bytes, _signers(result))


def verify_detached(content: bytes, signature: bytes, keyring: Keyring, what: str) -> Signed:
    """A file with its signature, armoured or not; raises as `verify_clear`."""
    pysequoia = _pysequoia()
    found = _signatures(signature, what)
    signers: set[str] = set()
    for one in found:
        try:
            detached = pysequoia.Sig.from_bytes(bytes(one))
            result = pysequoia.verify(
                content, lambda _ids: keyring.certificates, signature=detached
            )
            signers.update(_signers(result))
        except RuntimeError:
            continue  # one that is right is enough, as for apt
    if not signers:
        raise _refused(found, keyring, what)
    return Signed(content, tuple(sorted(signers)))


def _signatures(block: bytes, what: str) -> list[Any]:
    """The signatures of a file, armoured or not: each is looked at, and may take its time."""
    try:
        found = [one for one in _packets(block) if _tag(one) == "Signature"]
    except RuntimeError as error:
        message = f"{what} has no signature that can be read: {_first_line(error)}"
        raise OcclumError(_CODE, message) from None
    if not found:
        raise OcclumError(_CODE, f"{what} has no signature that can be read: there is none")
    if len(found) > MOST_SIGNATURES:
        raise OcclumError(_CODE, f"{what} has more than {MOST_SIGNATURES} signatures")
    return found


def _signers(result: Any) -> tuple[str, ...]:
    return tuple(sorted({one.signing_key.upper() for one in result.valid_sigs}))


def _check_framework(data: bytes, what: str) -> None:
    """One signed message and nothing around it: what stands outside is signed by nobody."""
    hint = "the mirror answers with something else, or changed it"
    lines = [line.rstrip() for line in data.rstrip().split(b"\n")]
    if lines[0] != _BEGIN:
        raise OcclumError(_CODE, f"{what} is no clear-signed text", hint=hint)
    marks = [line for line in lines if line in (_BEGIN, _BEGIN_SIGNATURE, _END)]
    if lines[-1] != _END or marks != [_BEGIN, _BEGIN_SIGNATURE, _END]:
        raise OcclumError(_CODE, f"{what} has text outside of its signature", hint=hint)


def _refused(found: Sequence[Any], keyring: Keyring, what: str) -> OcclumError:
    """Why none of the signatures counts."""
    issuers = sorted({issuer for one in found if (issuer := _issuer(one))})
    known = [one for one in found if _owner(one, keyring) is not None]
    if not known:
        names = some(issuers) or "somebody unnamed"
        message = f"{what} is signed by {names}, none of which {keyring.name} has"
        hint = "if that is a new key of the archive, add it to the keyring"
        return OcclumError(_CODE, message, hint=hint)
    return OcclumError(_CODE, f"{what} {_fault(known, keyring)}")


def _fault(signatures: Sequence[Any], keyring: Keyring) -> str:
    """What is wrong with signatures of keys that are known."""
    now = datetime.now(timezone.utc)
    who = listed(sorted({_issuer(one) for one in signatures}))
    weak = sorted({_hash(one) for one in signatures} & _WEAK)
    if weak:
        return f"is signed with {listed(weak)} by {who}, which is too weak"
    expired = _moments(signatures, "signature_expiration_time")
    if len(expired) == len(signatures) and max(expired) <= now:
        return f"has a signature by {who} that expired on {max(expired):%Y-%m-%d}"
    created = _moments(signatures, "signature_created")
    if created and min(created) > now:
        return f"has a signature by {who} of {min(created):%Y-%m-%d}: is the clock right?"
    owners = [_owner(one, keyring) for one in signatures]
    if any(_value(one, "is_revoked") for one in owners):
        return f"is signed by {who}, which {keyring.name} says is revoked"
    ends = _moments(owners, "expiration")
    if created and ends and max(ends) <= max(created):
        return f"is signed by {who}, which in {keyring.name} expired on {max(ends):%Y-%m-%d}"
    return f"is not what {who} signed: the mirror is damaged, or somebody changed it"


def _moments(found: Sequence[Any], name: str) -> list[datetime]:
    return [moment for one in found if (moment := _value(one, name)) is not None]


def _issuer(signature: Any) -> str:
    found = _value(signature, "issuer_fingerprint") or _value(signature, "issuer_key_id")
    return (found or "").upper()


def _owner(signature: Any, keyring: Keyring) -> Any:
    """The certificate of the key that a signature names; None where there is none."""
    issuer = _issuer(signature)
    matches: Iterable[Any] = (
        certificate
        for fingerprint, certificate in keyring.owners.items()
        if issuer and fingerprint.endswith(issuer)
    )
    return next(iter(matches), None)


def _packets(data: bytes) -> Any:
    """Raises RuntimeError."""
    return _pysequoia().packet.PacketPile.from_bytes(data)


def _value(found: Any, name: str) -> Any:
    """A property of what others made; None where pysequoia cannot tell it."""
    try:
        return getattr(found, name)
    except RuntimeError:
        return None


def _tag(packet: Any) -> str:
    return _name(_value(packet, "tag"))


def _hash(signature: Any) -> str:
    return _name(_value(signature, "hash_algorithm"))


def _name(member: Any) -> str:
    """Of a member of one of pysequoia's enumerations: `HashAlgorithm.SHA1` is SHA1."""
    return repr(member).rpartition(".")[2]


def _first_line(error: Exception) -> str:
    """Without the traces of Rust below it."""
    return str(error).partition("\n")[0]


def _pysequoia() -> Any:
    try:
        import pysequoia  # large, and needed where a lock is written alone
        from pysequoia import packet as _packet  # noqa: F401 - since 0.1.29
    except ImportError:
        message = "signatures of archives are verified by pysequoia, which is not installed"
        raise OcclumError(_CODE, message, hint="pip install 'pysequoia>=0.1.35'") from None
    return pysequoia
