"""Files that scripts make on an installed system, made as these would: no script is run.

Each is made only where the package whose script makes it is in the root, and no package has it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Callable, NamedTuple

from occlum_build.errors import OcclumError, Report
from occlum_build.packages.config import CA_CERTIFICATES, JAVA_CACERTS, MADE, NSSWITCH, PASSWD
from occlum_build.packages.jks import jks_of
from occlum_build.packages.merge import MadeFile, PackagesRoot
from occlum_build.sources.model import FILE
from occlum_build.sysroot.lock import Pin

CODE = "packages-made"
BUNDLE, TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/java/cacerts"
SOURCE_BYTES = 4 << 20  # of a file that something is made of
_MODE = 0o644
# Those of packages first, then those of the site, as update-ca-certificates(8) has them.
_CERTIFICATES = ("/usr/share/ca-certificates/", "/usr/local/share/ca-certificates/")
_PEM = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END ")
# As update-ca-certificates names links to certificates.
_ALIAS = str.maketrans({" ": "_", "(": "=", ")": "=", ",": "_"})

Contents = Mapping[str, bytes]


class Made(NamedTuple):
    """A file that was made: its path in the root, mode, content and the package it is of."""

    path: str
    mode: int
    content: bytes
    by: str

    @property
    def file(self) -> MadeFile:
        """The same without its content."""
        sha256 = hashlib.sha256(self.content).hexdigest()
        return MadeFile(self.path, self.mode, len(self.content), sha256, self.by)


class _Maker(NamedTuple):
    """What is made where a package is there, of which files, and how."""

    kind: str
    package: str
    path: str
    sources: Callable[[Mapping[str, Pin]], list[str]]
    make: Callable[[Contents], bytes]


def sources_of_made(root: PackagesRoot, made: Collection[str] = MADE) -> list[str]:
    """The paths of the files whose contents `make_files` needs, sorted."""
    return _sources(root, _makers(root, made))


def sources_of_locked(root: PackagesRoot, locked: Iterable[MadeFile]) -> list[str]:
    """The paths of the files whose contents `make_locked` needs, sorted."""
    return _sources(root, _locked_makers(root, locked))


def _sources(root: PackagesRoot, makers: Iterable[_Maker]) -> list[str]:
    return sorted({path for one in makers for path in one.sources(root.lock.pins)})


def make_files(root: PackagesRoot, contents: Contents, made: Collection[str] = MADE) -> list[Made]:
    """What is made for a root of packages, sorted by path; `contents` are of `sources_of_made`.

    Raises OcclumError `packages-made` for a source that is not what it should be.
    """
    return _make(root, contents, _makers(root, made))


def _make(root: PackagesRoot, contents: Contents, makers: Iterable[_Maker]) -> list[Made]:
    found = []
    for one in makers:
        sources = {path: contents[path] for path in one.sources(root.lock.pins)}
        found.append(Made(one.path, _MODE, one.make(sources), one.package))
    return sorted(found)


def make_locked(root: PackagesRoot, contents: Contents, locked: Collection[MadeFile]) -> list[Made]:
    """The files that a lock says are made, and no others; `contents` are of `sources_of_locked`.

    Raises OcclumError `packages-made` where one comes out otherwise, or as nothing.
    """
    made = {one.path: one for one in _make(root, contents, _locked_makers(root, locked))}
    report, found = Report(), []
    for due in locked:
        one = made.get(due.path)
        if one is not None and one.file == due:
            found.append(one)
            continue
        comes = f"comes out as sha256:{one.file.sha256}" if one else "is made of nothing"
        message = f"{due.path} {comes}, and not as it is pinned"
        hint = "this version makes it in another way: write the lock anew"
        report.error(CODE, message, hint=hint)
    report.raise_errors()
    return found


def _makers(root: PackagesRoot, made: Collection[str]) -> list[_Maker]:
    packages, pins = set(root.owners.values()), root.lock.pins
    return [
        one
        for one in _MAKERS
        if one.kind in made
        and one.package in packages
        and one.path not in pins
        and one.sources(pins)
    ]


def _locked_makers(root: PackagesRoot, locked: Iterable[MadeFile]) -> list[_Maker]:
    paths = {one.path for one in locked}
    return [one for one in _makers(root, MADE) if one.path in paths]


def _certificates(pins: Mapping[str, Pin]) -> list[str]:
    return [
        path
        for directory in _CERTIFICATES
        for path in sorted(pins)
        if path.startswith(directory) and path.endswith(".crt") and pins[path].type == FILE
    ]


def _one(path: str) -> Callable[[Mapping[str, Pin]], list[str]]:
    def sources(pins: Mapping[str, Pin]) -> list[str]:
        return [path] if path in pins and pins[path].type == FILE else []

    return sources


def _bundle(contents: Contents) -> bytes:
    """The certificates one after another, each with a line end."""
    return b"".join(
        data if data.endswith(b"\n") else data + b"\n" for data in contents.values() if data
    )


def _trust_store(contents: Contents) -> bytes:
    found = {}
    for path, data in contents.items():
        name = posixpath.basename(path)[: -len(".crt")].translate(_ALIAS)
        found[f"debian:{name}.pem".lower()] = _der(path, data)
    return jks_of(found)


def _der(path: str, data: bytes) -> bytes:
    """The first certificate of a PEM file."""
    match = _PEM.search(data)
    try:
        der = base64.b64decode(b"".join(match[1].split()), validate=True) if match else b""
    except binascii.Error:
        der = b""
    if not der.startswith(b"\x30"):
        raise OcclumError(CODE, f"{path} is no certificate in PEM, and {TRUST_STORE} is made of it")
    return der


def _passwords(contents: Contents) -> bytes:
    """passwd(5) or group(5): passwords are in the shadow files, which an image has not."""
    (data,) = contents.values()
    return re.sub(rb"^([^:\n]*):\*:", rb"\1:x:", data, flags=re.MULTILINE)


def _same(contents: Contents) -> bytes:
    (data,) = contents.values()
    return data


_MASTER = "/usr/share/base-passwd/{}.master"
_MAKERS = (
    _Maker(CA_CERTIFICATES, "ca-certificates", BUNDLE, _certificates, _bundle),
    _Maker(JAVA_CACERTS, "ca-certificates-java", TRUST_STORE, _certificates, _trust_store),
    _Maker(PASSWD, "base-passwd", "/etc/passwd", _one(_MASTER.format("passwd")), _passwords),
    _Maker(PASSWD, "base-passwd", "/etc/group", _one(_MASTER.format("group")), _passwords),
    _Maker(
        NSSWITCH, "libc-bin", "/etc/nsswitch.conf", _one("/usr/share/libc-bin/nsswitch.conf"), _same
    ),
)
