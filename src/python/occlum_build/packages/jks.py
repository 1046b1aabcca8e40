"""Writes Java's trust store in the format JKS, of version 2 (sun.security.provider.JavaKeyStore).

Numbers are big-endian; a text is its length and modified UTF-8 (java.io.DataOutput.writeUTF).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping

from occlum_build.table import Field, Record

PASSWORD = "changeit"  # of every trust store; what is in it is no secret
MAGIC, VERSION = 0xFEEDFEED, 2
TRUSTED_CERTIFICATE = 2  # the tag of an entry
HEADER = Record(12, [Field("magic", 0, "I"), Field("version", 4, "I"), Field("count", 8, "I")], ">")
_SALT = b"Mighty Aphrodite"


def jks_of(certificates: Mapping[str, bytes]) -> bytes:
    """A trust store of certificates (alias -> DER), sorted by alias and all of time 0."""
    parts = [HEADER.pack(magic=MAGIC, version=VERSION, count=len(certificates))]
    for alias in sorted(certificates):
        certificate = certificates[alias]
        parts.append(struct.pack(">I", TRUSTED_CERTIFICATE) + _text(alias))
        parts.append(struct.pack(">Q", 0) + _text("X.509"))  # milliseconds of 1970
        parts.append(struct.pack(">I", len(certificate)) + certificate)
    data = b"".join(parts)
    return data + checksum(data)


def checksum(data: bytes) -> bytes:
    """What stands behind the entries: keyed, but with a password that everybody knows."""
    keyed = PASSWORD.encode("utf-16-be") + _SALT + data
    return hashlib.sha1(keyed, usedforsecurity=False).digest()


def _text(text: str) -> bytes:
    units = struct.unpack(f">{len(text.encode('utf-16-be')) // 2}H", text.encode("utf-16-be"))
    data = b"".join(chr(unit).encode("utf-8", "surrogatepass") for unit in units)
    return struct.pack(">H", len(data)) + data
