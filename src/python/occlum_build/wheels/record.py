"""RECORD, the list of the files of a wheel with their hashes: read, compared, and written anew.

The format is https://packaging.python.org/en/latest/specifications/recording-installed-packages/.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Mapping
from typing import NamedTuple

from occlum_build.files.compressed import BadArchive
from occlum_build.shown import quoted

# What no RECORD of a wheel can have a hash of.
UNHASHED = ("RECORD", "RECORD.jws", "RECORD.p7s")
_HASHES = ("sha256", "sha384", "sha512")


class Installed(NamedTuple):
    """A file that was written: its size in bytes and its SHA-256 as RECORD has it."""

    size: int
    hash: str


def read_record(text: str) -> dict[str, str]:
    """The hash of each path that has one, `sha256=...`. Raises BadArchive."""
    found: dict[str, str] = {}
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True):
            if len(row) != 3:
                raise BadArchive("RECORD has a line that is not path, hash and size")
            if row[1]:
                found[row[0]] = row[1]
    except csv.Error:
        raise BadArchive("RECORD is no list of values with commas between them") from None
    return found


class Hashing:
    """The hashes of a file while it is read: what RECORD has of it, and the SHA-256."""

    def __init__(self, path: str, expected: str | None) -> None:
        self._path, self._expected, self._size = path, expected, 0
        self._sha256 = hashlib.sha256()
        name, _, _ = (expected or "sha256=").partition("=")
        if name not in _HASHES:
            raise BadArchive(f"RECORD has a hash {quoted(name)} of {quoted(path)}")
        self._name = name
        self._hash = self._sha256 if name == "sha256" else hashlib.new(name)

    def update(self, chunk: bytes) -> None:
        self._size += len(chunk)
        self._sha256.update(chunk)
        if self._hash is not self._sha256:
            self._hash.update(chunk)

    def checked(self) -> None:
        """Raise BadArchive where the file is not as RECORD has it."""
        digest = _text(self._hash.digest())
        if self._expected is not None and self._expected != f"{self._name}={digest}":
            raise BadArchive(f"{quoted(self._path)} in it has not the hash that RECORD says")

    def installed(self) -> Installed:
        return Installed(self._size, f"sha256={_text(self._sha256.digest())}")


def record_text(files: Mapping[str, Installed], own: str) -> bytes:
    """RECORD of what was installed, sorted; `own` is its own path."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    rows = [(path, one.hash, str(one.size)) for path, one in files.items()]
    writer.writerows(sorted([*rows, (own, "", "")]))
    return stream.getvalue().encode()


def _text(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
