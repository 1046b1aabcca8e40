"""Small signed archives for tests, and keys for them; what they hold need be no real package."""

from __future__ import annotations

import functools
import gzip
import hashlib
import lzma
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from occlum_build.packages.config import ArchiveConfig
from occlum_build.packages.testing_debs import deb_of

pysequoia = pytest.importorskip("pysequoia")

DATE = "Sat, 11 Jul 2026 10:16:37 UTC"
_PACKED: dict[str, Callable[[bytes], bytes]] = {
    ".xz": lzma.compress,
    ".gz": functools.partial(gzip.compress, mtime=0),
    "": bytes,
}
ALL = tuple(_PACKED)


def key(name: str = "archive") -> Any:
    """A secret key, made anew in each run of the tests."""
    return _key(name)


@functools.cache
def _key(name: str) -> Any:
    return pysequoia.Tsk.generate(f"{name} <{name}@example.com>")


def keyring(*names: str, armoured: bool = True) -> bytes:
    """The certificates of keys."""
    found = [key(name).extract_certificate() for name in names or ("archive",)]
    return b"".join(str(one).encode() if armoured else bytes(one) for one in found)


def clear_signed(content: bytes, by: str = "archive") -> bytes:
    signed: bytes = pysequoia.sign(key(by).signer(), content, mode=pysequoia.SignatureMode.CLEAR)
    return signed


def signature(content: bytes, by: str = "archive") -> bytes:
    """A detached one."""
    signed: bytes = pysequoia.sign(key(by).signer(), content, mode=pysequoia.SignatureMode.DETACHED)
    return signed


def handmade_signature(
    content: bytes,
    *,
    created: int,
    lasts: int = 0,
    hash_name: str = "sha512",
    by: Any = None,
) -> bytes:
    """A signature (RFC 4880, 5.2.3) as pysequoia makes none: with a weak hash, or expired.

    created: seconds since 1970; lasts: seconds, 0 for ever.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    pile = pysequoia.packet.PacketPile.from_bytes(bytes(by or key()))
    own = next(one for one in pile if repr(one.tag) == "Tag.SecretSubkey")
    subpackets = b"\x05\x02" + struct.pack(">I", created)
    subpackets += b"\x16\x21\x04" + bytes.fromhex(own.fingerprint)
    subpackets += b"\x05\x03" + struct.pack(">I", lasts) if lasts else b""
    hash_id = {"sha1": 2, "sha512": 10}[hash_name]
    head = bytes([4, 0, 22, hash_id]) + struct.pack(">H", len(subpackets)) + subpackets
    trailer = b"\x04\xff" + struct.pack(">I", len(head))
    digest = hashlib.new(hash_name, content + head + trailer).digest()
    # Version, time and algorithm; name and point of the curve; then no password, and the secret.
    at = 6 + 1 + own.body[6]
    at += 2 + (int.from_bytes(own.body[at : at + 2], "big") + 7) // 8 + 1
    bits = int.from_bytes(own.body[at : at + 2], "big")
    secret = own.body[at + 2 : at + 2 + (bits + 7) // 8].rjust(32, b"\0")
    made = Ed25519PrivateKey.from_private_bytes(secret).sign(digest)
    body = head + b"\0\0" + digest[:2] + _mpi(made[:32]) + _mpi(made[32:])
    return b"\xc2" + bytes([len(body)] if len(body) < 192 else _long(len(body))) + body


def _long(length: int) -> list[int]:
    return [((length - 192) >> 8) + 192, (length - 192) & 0xFF]


def _mpi(data: bytes) -> bytes:
    data = data.lstrip(b"\0")
    return struct.pack(">H", int.from_bytes(data, "big").bit_length()) + data


def content_of(name: str, version: str) -> bytes:
    """The bytes of a package that is none."""
    return f"!<arch> {name} {version}\n".encode()


def stanza(name: str, version: str = "1", **fields: str) -> str:
    """A stanza of Packages; `pre_depends` is Pre-Depends. The file is in the pool."""
    data = content_of(name, version)
    values = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Filename": f"pool/main/{name[0]}/{name}/{name}_{version.rpartition(':')[2]}_amd64.deb",
        "Size": str(len(data)),
        "SHA256": hashlib.sha256(data).hexdigest(),
        **{"-".join(map(str.capitalize, key.split("_"))): fields[key] for key in fields},
    }
    values["SHA256"] = values.pop("Sha256", values["SHA256"])
    return "".join(f"{key}: {value}\n" for key, value in values.items() if value) + "\n"


def _values(stanza_: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in stanza_.splitlines() if line)


class Archive:
    """An archive in a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._debs: dict[str, bytes] = {}  # by their paths below the root

    def deb(self, name: str, version: str = "1", **how: Any) -> str:
        """The stanza of a real package for `suite`; for `how` see `deb_of`."""
        data = deb_of(name, version, **how)
        fields = {key.lower().replace("-", "_"): one for key, one in how.get("fields", {}).items()}
        sha256 = hashlib.sha256(data).hexdigest()
        text = stanza(name, version, sha256=sha256, size=str(len(data)), **fields)
        self._debs[_values(text)["Filename"]] = data
        return text

    def config(self, *suites: str, **changes: Any) -> ArchiveConfig:
        """The archive as a request names it."""
        values: dict[str, Any] = {
            "name": "debian",
            "mirrors": (f"file:{self.root}",),
            "suites": suites or ("stable",),
            "components": ("main",),
            "keyring": keyring(),
            "keyring_name": "debian.asc",
            **changes,
        }
        return ArchiveConfig(**values)

    def suite(
        self,
        name: str = "stable",
        stanzas: Sequence[str] = (),
        *,
        directory: str = "main/binary-amd64/",
        packed: Sequence[str] = (".xz",),
        fields: Mapping[str, str] | None = None,
        more: Mapping[str, bytes] | None = None,
        by: str = "archive",
        apart: bool = False,
    ) -> bytes:
        """Write a suite; what is signed. more: files besides. apart: Release and Release.gpg."""
        base = self.root / (name if name.endswith("/") else f"dists/{name}")
        text = "".join(stanzas).encode()
        files = {f"{directory}Packages{end}": _PACKED[end](text) for end in packed}
        files.update(more or {})
        self.pool(stanzas)
        by_hash = (fields or {}).get("Acquire-By-Hash") == "yes"
        for path, data in files.items():
            self._write(base / path, data)
            if by_hash:
                digest = hashlib.sha256(data).hexdigest()
                self._write((base / path).parent / "by-hash/SHA256" / digest, data)
        values = {"Suite": name, "Date": DATE, "Architectures": "amd64", "Components": "main"}
        values.update(fields or {})
        rows = "".join(
            f" {hashlib.sha256(data).hexdigest()} {len(data)} {path}\n"
            for path, data in sorted(files.items())
        )
        release = "".join(f"{key}: {value}\n" for key, value in values.items() if value)
        content = f"{release}SHA256:\n{rows}".encode()
        if apart:
            self._write(base / "Release", content)
            self._write(base / "Release.gpg", signature(content, by))
        else:
            self._write(base / "InRelease", clear_signed(content, by))
        return content

    def pool(self, stanzas: Sequence[str]) -> None:
        """Write the files of stanzas."""
        for one in stanzas:
            values = _values(one)
            data = self._debs.get(values["Filename"])
            self._write(
                self.root / values["Filename"],
                data or content_of(values["Package"], values["Version"]),
            )

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
