"""Keys: the key file, where node keys come from, and their derivation (docs/sefs-format.md, 2)."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.cmac import CMAC

from occlum_build.errors import OcclumError
from occlum_build.files.secret import read_secret, wipe
from occlum_build.sefs.hostio import os_errors, place_of
from occlum_build.sefs.pf_format import KEY_ID_SIZE, KEY_SIZE

_KEY_TEXT = re.compile(rb"[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){15}[\r\n]*")
KEY_FILE_BYTES = 1024
_OTHERS_READ_OR_WRITE = 0o066

_METADATA_LABEL = b"SGX-PROTECTED-FS-METADATA-KEY"
_IMAGE_CONTEXT = b"occlum-build sefs node keys v1\0"
_FINGERPRINT_CONTEXT = b"occlum-build sefs key fingerprint v1\0"
_CACHE_CONTEXT = b"occlum-build encrypted cache v1\0"
_node_number = struct.Struct("<Q").pack


class UserKey:
    """The 16-byte key of an image; its text forms hide the value, and it cannot be pickled.

    It is wiped at the end of `with key:`. `text`: the file that it was read from, for whoever
    builds it in.
    """

    __slots__ = ("_text", "_value")

    def __init__(self, value: bytes | bytearray, text: bytes | bytearray = b"") -> None:
        if len(value) != KEY_SIZE:
            raise ValueError(f"a user key has {KEY_SIZE} bytes")
        self._value, self._text = bytearray(value), bytearray(text)

    def __repr__(self) -> str:
        return "UserKey(hidden)"

    def __reduce__(self) -> str:
        raise TypeError("a user key is not written anywhere")

    def __enter__(self) -> UserKey:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def wipe(self) -> None:
        """Overwrite the key; it cannot be used any more."""
        wipe(self._value)
        wipe(self._text)
        self._value, self._text = bytearray(), bytearray()

    def file_text(self) -> bytes:
        """The bytes of the key file."""
        return bytes(self._text)

    def fingerprint(self) -> str:
        """32 hex digits that tell keys apart and say nothing about them (an HMAC under the key)."""
        return hmac.digest(self._key(), _FINGERPRINT_CONTEXT, "sha256")[:16].hex()

    def metadata_key(self, key_id: bytes) -> bytes:
        """The key of node 0 (16 bytes) for this key id (section 2.3)."""
        mac = CMAC(AES128(self._key()))
        mac.update(struct.pack("<I64s4xQ32sI4x", 1, _METADATA_LABEL, 0, key_id, 0x80))
        return mac.finalize()

    def image_key(self, salt: bytes) -> bytes:
        """The key (32 bytes) that all derived node keys of one image come from (section 2.5)."""
        return hmac.digest(self._key(), _IMAGE_CONTEXT + salt, "sha256")

    def cache_key(self) -> str:
        """64 hex digits that authenticate the encrypted cache and say nothing about the key."""
        return hmac.digest(self._key(), _CACHE_CONTEXT, "sha256").hex()

    def _key(self) -> bytearray:
        if not self._value:
            raise ValueError("the user key was wiped")
        return self._value


def read_key_file(
    path: Path, *, allow_insecure: bool = False, fingerprint: str | None = None
) -> UserKey:
    """The user key of a key file: 16 hex pairs joined by `-`, line end allowed.

    Raises OcclumError: `key-file-mode` when group or others may read or write the file (unless
    `allow_insecure`), `key-file-format` when it is something else, `key-file-changed` when it is
    not the key of a fingerprint, `sefs-io`.
    """
    with os_errors(path):
        text, mode = read_secret(path, KEY_FILE_BYTES)
    try:
        if mode & _OTHERS_READ_OR_WRITE and not allow_insecure:
            raise OcclumError(
                "key-file-mode",
                f"the key file is open to group or others (mode {mode:04o})",
                place=place_of(path),
                hint="chmod 600 it",
            )
        key = key_of_text(text, path)
    finally:
        wipe(text)
    if fingerprint not in (None, key.fingerprint()):
        with key:
            raise OcclumError(
                "key-file-changed",
                "the key file holds another key than when the build began",
                hint="leave the key file alone while images are encrypted, then build again",
            )
    return key


def key_of_text(text: bytes | bytearray, path: str | Path) -> UserKey:
    """The user key in the text of a key file; `path` is what an error calls it.

    Raises OcclumError `key-file-format`.
    """
    if not _KEY_TEXT.fullmatch(text):
        raise OcclumError(
            "key-file-format",
            "the key file must hold 16 hex pairs joined by '-' and nothing else",
            place=place_of(path),
        )
    value = bytearray(KEY_SIZE)
    try:
        for number in range(KEY_SIZE):
            value[number] = int(text[3 * number : 3 * number + 2], 16)
        return UserKey(value, text)
    finally:
        wipe(value)


class FileKeys(Protocol):
    """Where the keys of one protected file come from."""

    def node_keys(self, plaintexts: Sequence[memoryview], first_node: int) -> list[bytes]:
        """16 bytes for each of the physical nodes from `first_node` > 0 on (4096 bytes each)."""

    def key_id(self, encrypted_part: bytes) -> bytes:
        """32 bytes, the nonce of the key of node 0, given its plaintext (3392 bytes)."""


class KeySource(Protocol):
    """Where the keys of an image come from."""

    def for_file(self, name: bytes) -> FileKeys:
        """The keys of the protected file with this clean file name."""


_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class DerivedFileKeys:
    """Keys as HMAC-SHA256 of node number and plaintext under the key of the file (section 2.5).

    The two hash states that HMAC starts with are computed once a file and copied for each node,
    which is faster than any function of the hmac module.
    """

    def __init__(self, file_key: bytes) -> None:
        block = file_key.ljust(64, b"\0")
        self._inner = hashlib.sha256(block.translate(_INNER)).copy
        self._outer = hashlib.sha256(block.translate(_OUTER)).copy

    def _hmacs(self, plaintexts: Sequence[bytes | memoryview], first_node: int) -> list[bytes]:
        # A third of the time for a node is Python's: there is no call for each, and no attribute.
        started, finishing, number_of = self._inner, self._outer, _node_number
        found = []
        for number, plaintext in enumerate(plaintexts, first_node):
            inner = started()
            inner.update(number_of(number))
            inner.update(plaintext)
            outer = finishing()
            outer.update(inner.digest())
            found.append(outer.digest())
        return found

    def node_keys(self, plaintexts: Sequence[memoryview], first_node: int) -> list[bytes]:
        return [one[:KEY_SIZE] for one in self._hmacs(plaintexts, first_node)]

    def key_id(self, encrypted_part: bytes) -> bytes:
        return self._hmacs([encrypted_part], 0)[0]


class DerivedKeys:
    """Deterministic keys: of user key, salt (digest of the manifest), file, node and content."""

    def __init__(self, user_key: UserKey, salt: bytes) -> None:
        self._image_key = user_key.image_key(salt)

    def for_file(self, name: bytes) -> DerivedFileKeys:
        return DerivedFileKeys(hmac.digest(self._image_key, name, "sha256"))


class RandomKeys:
    """Fresh random keys: two runs have no byte of ciphertext in common."""

    def for_file(self, name: bytes) -> RandomKeys:
        return self

    def node_keys(self, plaintexts: Sequence[memoryview], first_node: int) -> list[bytes]:
        return [os.urandom(KEY_SIZE) for _ in plaintexts]

    def key_id(self, encrypted_part: bytes) -> bytes:
        return os.urandom(KEY_ID_SIZE)
