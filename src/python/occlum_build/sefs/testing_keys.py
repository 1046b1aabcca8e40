"""Test helper: the keys of an encrypted image, read from it, to write the same bytes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from occlum_build.sefs.keys import UserKey
from occlum_build.sefs.pf_crypto import DecryptingOpener
from occlum_build.sefs.pf_format import (
    DATA_PER_MHT,
    ENTRY_SIZE,
    KEY_SIZE,
    mht_node_number,
    mht_parent,
)
from occlum_build.sefs.pf_reader import PfReader


@dataclass
class RecordedFileKeys:
    """The keys of one file by physical node number, and its key id."""

    recorded_key_id: bytes
    recorded: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, user_key: UserKey) -> RecordedFileKeys:
        with PfReader(path, DecryptingOpener(user_key)) as reader:
            keys = cls(reader.key_id)
            for mht in range(reader.layout.mht_nodes):
                entry = reader.root_entry
                if mht:
                    parent, offset = mht_parent(mht)
                    entry = reader.mht_node(parent)[offset:]
                number, node = mht_node_number(mht), reader.mht_node(mht)
                keys.recorded[number] = entry[:KEY_SIZE]
                for slot in range(min(DATA_PER_MHT, reader.layout.data_nodes_of(mht))):
                    start = slot * ENTRY_SIZE
                    keys.recorded[number + 1 + slot] = node[start : start + KEY_SIZE]
            return keys

    def node_keys(self, plaintexts: Sequence[memoryview], first_node: int) -> list[bytes]:
        return [self.recorded[number] for number, _ in enumerate(plaintexts, first_node)]

    def key_id(self, encrypted_part: bytes) -> bytes:
        return self.recorded_key_id


class RecordedKeys:
    """A key source that replays the keys of the files in a directory."""

    def __init__(self, image: Path, user_key: UserKey) -> None:
        self._image = image
        self._user_key = user_key

    def for_file(self, name: bytes) -> RecordedFileKeys:
        return RecordedFileKeys.of(self._image / name.decode(), self._user_key)
