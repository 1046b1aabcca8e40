"""Protected file: constants, node positions and the metadata node (docs/sefs-format.md, 1)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from occlum_build.errors import OcclumError, Place
from occlum_build.shown import quoted
from occlum_build.table import Field, Record

NODE_SIZE = 4096
INLINE_SIZE = 3072
ENTRY_SIZE = 32
DATA_PER_MHT = 96
CHILDREN_PER_MHT = 32
GROUP_NODES = 1 + DATA_PER_MHT
GROUP_SIZE = DATA_PER_MHT * NODE_SIZE

KEY_SIZE = 16
TAG_SIZE = 16
KEY_ID_SIZE = 32
MAX_CLEAN_NAME = 258

FILE_ID = 0x5347585F46494C45
MAJOR_VERSION = 1
MINOR_VERSION = 0

# Section 1.1: the part of node 0 that is stored as it is.
PLAIN_PART = Record(
    95,
    (
        Field("file_id", 0, "Q"),
        Field("major_version", 8, "B"),
        Field("minor_version", 9, "B"),
        Field("meta_data_key_id", 10, "32s"),
        Field("cpu_svn", 42, "16s"),
        Field("isv_svn", 58, "H"),
        Field("use_user_kdk_key", 60, "B"),
        Field("attribute_mask", 61, "16s"),
        Field("meta_data_gmac", 77, "16s"),
        Field("update_flag", 93, "B"),
        Field("integrity_only", 94, "B"),
    ),
)

# Section 1.2: the part of node 0 that is encrypted, or only authenticated.
ENCRYPTED_PART = Record(
    3392,
    (
        Field("clean_filename", 0, "260s"),
        Field("size", 260, "q"),
        Field("mc_uuid", 268, "16s"),
        Field("mc_value", 284, "I"),
        Field("mht_key", 288, "16s"),
        Field("mht_gmac", 304, "16s"),
        Field("data", 320, "3072s"),
    ),
)
ENCRYPTED_PART_OFFSET = PLAIN_PART.size
ENCRYPTED_PART_END = ENCRYPTED_PART_OFFSET + ENCRYPTED_PART.size

_MAC_TEXT = re.compile(r"[0-9a-fA-F]{2}(-[0-9a-fA-F]{2}){15}")


@dataclass(frozen=True)
class Layout:
    """Where the nodes of a protected file of `size` plaintext bytes are (section 1)."""

    size: int

    @property
    def data_nodes(self) -> int:
        return max(0, -(-(self.size - INLINE_SIZE) // NODE_SIZE))

    @property
    def mht_nodes(self) -> int:
        return -(-self.data_nodes // DATA_PER_MHT)

    @property
    def mht_nodes_with_children(self) -> int:
        """How many MHT nodes have some of the others as children: the first ones."""
        return -(-max(0, self.mht_nodes - 1) // CHILDREN_PER_MHT)

    @property
    def host_length(self) -> int:
        """Length of the file on disk in bytes."""
        nodes = self.data_nodes
        return (1 + nodes + -(-nodes // DATA_PER_MHT)) * NODE_SIZE

    def data_nodes_of(self, mht: int) -> int:
        """How many data nodes are attached to MHT node `mht`."""
        return min(DATA_PER_MHT, self.data_nodes - mht * DATA_PER_MHT)


def mht_node_number(mht: int) -> int:
    """Physical node number of MHT node `mht`; its data nodes follow it."""
    return 1 + GROUP_NODES * mht


def mht_parent(mht: int) -> tuple[int, int]:
    """The MHT node with the entry of MHT node `mht` > 0, and the byte offset of the entry there."""
    parent, slot = divmod(mht - 1, CHILDREN_PER_MHT)
    return parent, ENTRY_SIZE * (DATA_PER_MHT + slot)


def clean_file_name(path: str) -> bytes:
    """The name a protected file is bound to: what follows the last `/` or backslash of its path.

    Raises OcclumError `pf-name` when it has not 1 to 258 bytes (section 1.2).
    """
    name = re.split(r"[/\\]", path)[-1].encode("utf-8", "surrogateescape")
    if not 1 <= len(name) <= MAX_CLEAN_NAME or b"\0" in name:
        raise OcclumError(
            "pf-name",
            f"the name of a protected file must have 1 to {MAX_CLEAN_NAME} bytes, not {len(name)}",
            place=Place(path),
        )
    return name


def format_mac(mac: bytes) -> str:
    """The text form of a MAC: 16 hex pairs joined by `-` (section 2.4)."""
    return mac.hex("-")


def parse_mac(text: str) -> bytes:
    """A MAC of its text form, line end allowed; raises OcclumError `sefs-mac-text`."""
    stripped = text.rstrip("\r\n")
    if not _MAC_TEXT.fullmatch(stripped):
        raise OcclumError(
            "sefs-mac-text", f"{quoted(stripped[:60])} is not a MAC: 16 hex pairs joined by '-'"
        )
    return bytes.fromhex(stripped.replace("-", ""))
