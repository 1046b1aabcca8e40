"""The first inputs of the readers of archives of packages."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterator

from hostile.fuzzing.workplace import SEPARATOR
from occlum_build.packages.lock import (
    LockedLink,
    LockedMade,
    LockedPackage,
    LockedSuite,
    PackagesLock,
    write_lock,
)
from occlum_build.packages.testing_universe import index_text


def archives() -> Iterator[tuple[str, bytes]]:
    """Indexes, Release files, signatures, configurations and locks."""
    digest = "ab" * 32
    lock = PackagesLock(
        {"packages": digest},
        (LockedSuite("debian", "stable", "2026-07-11T10:16:37Z", digest, ("4CB5" * 10,)),),
        (LockedPackage("a", "1:1-2", "amd64", "debian", "pool/a_1.deb", digest, 9),),
        (LockedLink("/usr/bin/awk", "mawk", "alternatives of mawk"),),
        (LockedMade("/etc/passwd", "0644", digest, 9, "passwd"),),
    )
    yield "packages_lock", write_lock(lock)
    index = index_text("a 1; D: b (>= 1) | c:any, v; P: d\nb 1:2~rc; C: x\nd; V: v (= 2); E: yes")
    asked = b"a\nb (>= 1)\nv\na=1\nd/suite0"
    yield "packages_index", SEPARATOR.join([asked, index, index_text("a 2; R: b\nv; A: all")])
    yield "packages_packed", lzma.compress(index)
    yield "packages_packed", gzip.compress(index)
    yield "packages_release", _RELEASE
    yield "packages_config", SEPARATOR.join([_CONFIG, b"http://m/{path}\nfile:/a/{sha256}"])
    yield from _signatures()


def _signatures() -> Iterator[tuple[str, bytes]]:
    """Made by a key that is there for a moment."""
    try:
        import pysequoia
    except ImportError:
        return
    key = pysequoia.Tsk.generate("archive")
    modes = pysequoia.SignatureMode
    signed = pysequoia.sign(key.signer(), _RELEASE, mode=modes.CLEAR)
    apart = pysequoia.sign(key.signer(), signed, mode=modes.DETACHED)
    ring = str(key.extract_certificate()).encode()
    yield "packages_signature", SEPARATOR.join([ring, signed, apart])


_RELEASE = b"""\
Suite: stable
Codename: bookworm
Date: Sat, 11 Jul 2026 10:16:37 UTC
Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC
Architectures: all amd64
Components: updates/main
NotAutomatic: yes
SHA256:
 abababababababababababababababababababababababababababababababab 1 main/binary-amd64/Packages.xz
 abababababababababababababababababababababababababababababababab 22 main/binary-all/Packages
"""
_CONFIG = b"""\
archives:
- {name: debian, mirrors: ["http://m/debian"], suites: [stable], components: [main],
   keyring: keys.asc, only: ["a*"], allow_expired: true}
packages: [a, "b (>= 1)"]
debs: [a.deb]
links: {/usr/bin/awk: ""}
made: [passwd]
merged_usr: false
"""
