"""Makes the small archive: `make_archive.py DIRECTORY` writes archive/ and archive.asc there.

The key is a new one each time and is not kept, and so are the signatures; all else stays the same.
Then `./pants generate-lockfiles --resolve=testprojects/packages:small`, as the lock file has the
keyring's SHA-256.
"""

from __future__ import annotations

import hashlib
import lzma
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from packages.small_debs import Deb, small, small_updates

DATE = "Sat, 11 Jul 2026 10:16:37 UTC"


class Signer:
    """Signs suites by a key of its own."""

    def __init__(self) -> None:
        import pysequoia

        self._key: Any = pysequoia.Tsk.generate("small archive <archive@example.com>")
        self._clear: Any = pysequoia.SignatureMode.CLEAR
        self._sign: Any = pysequoia.sign

    def keyring(self) -> str:
        return str(self._key.extract_certificate())

    def signed(self, text: str) -> bytes:
        signed: bytes = self._sign(self._key.signer(), text.encode(), mode=self._clear)
        return signed


def write_archive(
    root: Path, suites: Mapping[str, Iterable[Deb]], signer: Signer, date: str = DATE
) -> None:
    """Write suites of one component, and the packages in the pool; what is there stays."""
    for name, found in suites.items():
        debs = list(found)
        for one in debs:
            _write(root / one.path, one.content)
        packages = "\n".join(one.stanza() for one in debs).encode()
        packed = lzma.compress(packages)
        path = "main/binary-amd64/Packages.xz"
        _write(root / "dists" / name / path, packed)
        release = {
            "Suite": name,
            "Date": date,
            "Architectures": "amd64",
            "Components": "main",
            "SHA256": f"\n {hashlib.sha256(packed).hexdigest()} {len(packed)} {path}",
        }
        text = "".join(f"{key}: {value}\n" for key, value in release.items())
        _write(root / "dists" / name / "InRelease", signer.signed(text))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def main(directory: Path) -> None:
    signer = Signer()
    suites = {"small": small(), "small-updates": small_updates()}
    write_archive(directory / "archive", suites, signer)
    _write(directory / "archive.asc", signer.keyring().encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
