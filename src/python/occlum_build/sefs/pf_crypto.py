"""The cryptography of nodes in both modes of a protected file (docs/sefs-format.md, 2).

A *sealer* turns plaintext nodes into stored ones and yields their entries (`key || tag`, 32 bytes
each); an *opener* does the reverse. Both work in place, on views of 4096 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from occlum_build.sefs.keys import FileKeys, UserKey
from occlum_build.sefs.pf_format import ENTRY_SIZE, KEY_ID_SIZE, KEY_SIZE, NODE_SIZE

# The format has no other IV: a key must be used for one plaintext only.
_ZERO_IV = bytes(12)
_ZERO_KEY = bytes(KEY_SIZE)
_ZERO_KEY_AEAD = AESGCM(_ZERO_KEY)


class SealedMetadata(NamedTuple):
    """What node 0 stores of its encrypted part; `mac` is the MAC of the whole file."""

    key_id: bytes
    part: bytes
    mac: bytes


class Sealer(Protocol):
    """Writes nodes in one mode."""

    integrity_only: bool

    def seal(self, nodes: Sequence[memoryview], first_node: int) -> bytes:
        """Seal consecutive nodes in place, the first has physical number `first_node`."""

    def seal_metadata(self, part: bytes) -> SealedMetadata:
        """Seal the encrypted part of node 0."""


class Opener(Protocol):
    """Reads nodes in one mode."""

    integrity_only: bool

    def open(self, nodes: Sequence[memoryview], entries: bytes) -> int | None:
        """Open nodes in place; the index of the first that its entry does not match, else None."""

    def open_metadata(self, sealed: SealedMetadata) -> bytes | None:
        """The plaintext of the encrypted part of node 0; None when the tag does not match."""


class IntegrityOnly:
    """Nodes in plaintext, tags under a key that everybody knows: a checksum against accidents."""

    integrity_only = True

    def seal(self, nodes: Sequence[memoryview], first_node: int) -> bytes:
        tag_of = _ZERO_KEY_AEAD.encrypt
        return _ZERO_KEY + _ZERO_KEY.join([tag_of(_ZERO_IV, b"", node) for node in nodes])

    def seal_metadata(self, part: bytes) -> SealedMetadata:
        tag = _ZERO_KEY_AEAD.encrypt(_ZERO_IV, b"", part)
        return SealedMetadata(bytes(KEY_ID_SIZE), part, tag)

    def open(self, nodes: Sequence[memoryview], entries: bytes) -> int | None:
        if self.seal(nodes, 0) == entries:
            return None
        for index, node in enumerate(nodes):
            entry = entries[index * ENTRY_SIZE : (index + 1) * ENTRY_SIZE]
            # The reference takes the key of the entry here, although it always writes zeros.
            if AESGCM(entry[:KEY_SIZE]).encrypt(_ZERO_IV, b"", node) != entry[KEY_SIZE:]:
                return index
        return None

    def open_metadata(self, sealed: SealedMetadata) -> bytes | None:
        tag = _ZERO_KEY_AEAD.encrypt(_ZERO_IV, b"", sealed.part)
        return sealed.part if tag == sealed.mac else None


class EncryptingSealer:
    """Nodes under a key each, kept in the entry; node 0 under a key derived from the user key."""

    integrity_only = False

    def __init__(self, user_key: UserKey, keys: FileKeys) -> None:
        self._user_key = user_key
        self._keys = keys

    def seal(self, nodes: Sequence[memoryview], first_node: int) -> bytes:
        entries: list[bytes] = []
        add, aead, iv = entries.append, AESGCM, _ZERO_IV  # no name is looked up twice
        for key, node in zip(self._keys.node_keys(nodes, first_node), nodes):
            sealed = aead(key).encrypt(iv, node, None)
            node[:] = sealed[:NODE_SIZE]
            add(key)
            add(sealed[NODE_SIZE:])
        return b"".join(entries)

    def seal_metadata(self, part: bytes) -> SealedMetadata:
        key_id = self._keys.key_id(part)
        sealed = AESGCM(self._user_key.metadata_key(key_id)).encrypt(_ZERO_IV, part, None)
        return SealedMetadata(key_id, sealed[: len(part)], sealed[len(part) :])


class DecryptingOpener:
    """Reads what EncryptingSealer writes."""

    integrity_only = False

    def __init__(self, user_key: UserKey) -> None:
        self._user_key = user_key

    def open(self, nodes: Sequence[memoryview], entries: bytes) -> int | None:
        for index, node in enumerate(nodes):
            entry = entries[index * ENTRY_SIZE : (index + 1) * ENTRY_SIZE]
            sealed = b"".join((node, entry[KEY_SIZE:]))
            try:
                node[:] = AESGCM(entry[:KEY_SIZE]).decrypt(_ZERO_IV, sealed, None)
            except InvalidTag:
                return index
        return None

    def open_metadata(self, sealed: SealedMetadata) -> bytes | None:
        key = self._user_key.metadata_key(sealed.key_id)
        try:
            return AESGCM(key).decrypt(_ZERO_IV, sealed.part + sealed.mac, None)
        except InvalidTag:
            return None


def opener_for(user_key: UserKey | None) -> Opener:
    """The opener of encrypted files, or of integrity-only ones when there is no key."""
    if user_key is None:
        return IntegrityOnly()
    return DecryptingOpener(user_key)
