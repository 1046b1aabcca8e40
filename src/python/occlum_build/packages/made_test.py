from __future__ import annotations

import base64
import hashlib
import io
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.config import MADE
from occlum_build.packages.index import DebIndex, Entry
from occlum_build.packages.jks import HEADER, MAGIC, TRUSTED_CERTIFICATE, checksum, jks_of
from occlum_build.packages.made import (
    Made,
    make_files,
    make_locked,
    sources_of_locked,
    sources_of_made,
)
from occlum_build.packages.merge import MadeFile, PackagesRoot, merge
from occlum_build.sources.model import FILE

CERTIFICATES = Path("/usr/share/ca-certificates")
LOCAL = Path("/usr/local/share/ca-certificates")
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
MASTER = "/usr/share/base-passwd"


def _root(files: dict[str, list[str]]) -> PackagesRoot:
    """A root of packages with files of unknown contents."""
    return merge(
        DebIndex(
            package, "1", "all", {}, {path: Entry(FILE, 0o644, 0, "0" * 64) for path in paths}, {}
        )
        for package, paths in files.items()
    )


def _made(
    files: dict[str, list[str]], contents: dict[str, bytes], made: tuple[str, ...] = MADE
) -> dict[str, bytes]:
    root = _root(files)
    assert sources_of_made(root, made) == sorted(contents)
    found = make_files(root, contents, made)
    assert found == sorted(found) and all(one.mode == 0o644 for one in found)
    return {one.path: one.content for one in found}


def _pem(der: bytes) -> bytes:
    text = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n"


class _Reader:
    """Reads a trust store as JavaKeyStore does, its checksum too."""

    def __init__(self, data: bytes) -> None:
        assert data[-20:] == checksum(data[:-20])
        self._stream = io.BytesIO(data[:-20])

    def entries(self) -> list[tuple[str, int, bytes]]:
        header = HEADER.unpack(self._stream.read(HEADER.size))
        assert (header["magic"], header["version"]) == (MAGIC, 2)
        found = [self._entry() for _ in range(header["count"])]
        assert self._stream.read() == b""
        return found

    def _entry(self) -> tuple[str, int, bytes]:
        assert self._number("I") == TRUSTED_CERTIFICATE
        alias, time = self._text(), self._number("Q")
        assert self._text() == "X.509"
        return alias, time, self._stream.read(self._number("I"))

    def _text(self) -> str:
        return self._stream.read(self._number("H")).decode("utf-8")

    def _number(self, kind: str) -> int:
        (number,) = struct.unpack(f">{kind}", self._stream.read(struct.calcsize(kind)))
        assert isinstance(number, int)
        return number


def test_certificates() -> None:
    paths = [
        "/usr/share/ca-certificates/mozilla/B (x), y.crt",
        "/usr/share/ca-certificates/mozilla/\u00c1.crt",
        "/usr/local/share/ca-certificates/a.crt",
    ]
    others = ["/usr/share/ca-certificates/mozilla/readme", "/usr/share/x.crt"]
    contents = dict(zip(paths, (_pem(b"0B"), _pem(b"0C").rstrip(b"\n"), _pem(b"0A") + _pem(b"0D"))))
    files = {"ca-certificates": [*paths, *others], "ca-certificates-java": ["/usr/share/doc/j"]}
    made = _made(files, contents)
    # Those of packages first.
    assert made["/etc/ssl/certs/ca-certificates.crt"] == b"".join(
        [_pem(b"0B"), _pem(b"0C"), _pem(b"0A"), _pem(b"0D")]
    )
    assert _Reader(made["/etc/ssl/certs/java/cacerts"]).entries() == [
        ("debian:a.pem", 0, b"0A"),
        ("debian:b_=x=__y.pem", 0, b"0B"),
        ("debian:\u00e1.pem", 0, b"0C"),
    ]
    assert make_files(_root(files), contents)[0].by == "ca-certificates"


def test_the_trust_store_is_the_same_everywhere() -> None:
    data = jks_of({"debian:a.pem": b"0A", "debian:\U0001f600": b"0B"})
    assert data == jks_of({"debian:\U0001f600": b"0B", "debian:a.pem": b"0A"})
    digest = "76c4b6e1752917905c94d24c2785111528afe6d2d4d73d22b2b783535117ef49"
    assert hashlib.sha256(data).hexdigest() == digest


@pytest.mark.parametrize(
    "content", [b"", b"junk", _pem(b"not DER"), _pem(b"0A").replace(b"M", b"*"), _pem(b"0A")[:30]]
)
def test_no_certificate(content: bytes) -> None:
    path = "/usr/share/ca-certificates/x.crt"
    root = _root({"ca-certificates": [path], "ca-certificates-java": ["/j"]})
    with pytest.raises(OcclumError, match=path) as error:
        make_files(root, {path: content})
    assert error.value.code == "packages-made"


def test_what_a_lock_has_not_is_not_made() -> None:
    path, store = "/usr/share/ca-certificates/x.crt", "/usr/share/libc-bin/nsswitch.conf"
    root = _root({"ca-certificates": [path], "ca-certificates-java": ["/j"], "libc-bin": [store]})
    bundle = make_files(root, {path: b"junk"}, ("ca-certificates",))
    locked = [one.file for one in bundle]
    assert sources_of_locked(root, locked) == [path]
    assert make_locked(root, {path: b"junk"}, locked) == bundle
    with pytest.raises(OcclumError, match=r"comes out as sha256:.*, and not as it is pinned"):
        make_locked(root, {path: b"other"}, locked)
    with pytest.raises(OcclumError, match="/x is made of nothing"):
        make_locked(root, {}, [MadeFile("/x", 0o644, 0, "0" * 64, "x")])


def test_passwords() -> None:
    files = {"base-passwd": [f"{MASTER}/passwd.master", f"{MASTER}/group.master"]}
    contents = {
        f"{MASTER}/passwd.master": b"root:*:0:0:root:/root:/bin/bash\na:*:1:1:*:/:/x\nb::2\n",
        f"{MASTER}/group.master": b"root:*:0:\n",
    }
    assert _made(files, contents) == {
        "/etc/passwd": b"root:x:0:0:root:/root:/bin/bash\na:x:1:1:*:/:/x\nb::2\n",
        "/etc/group": b"root:x:0:\n",
    }


def test_nsswitch() -> None:
    path = "/usr/share/libc-bin/nsswitch.conf"
    assert _made({"libc-bin": [path]}, {path: b"x"}) == {"/etc/nsswitch.conf": b"x"}


def test_what_is_not_made() -> None:
    path = "/usr/share/libc-bin/nsswitch.conf"
    # Not asked for; a package has it; of another package; without its source.
    assert not _made({"libc-bin": [path]}, {}, ("passwd",))
    assert not _made({"libc-bin": [path, "/etc/nsswitch.conf"]}, {})
    assert not _made({"other": [path]}, {})
    assert not _made({"libc-bin": ["/x"], "ca-certificates": ["/y"]}, {})


def test_a_made_file() -> None:
    file = Made("/x", 0o600, b"abc", "a").file
    assert file == ("/x", 0o600, 3, hashlib.sha256(b"abc").hexdigest(), "a")


def _of_this_machine() -> dict[str, bytes]:
    paths = [*CERTIFICATES.rglob("*.crt"), *LOCAL.rglob("*.crt")]
    return {str(path): path.read_bytes() for path in paths}


@pytest.mark.skipif(not BUNDLE.exists(), reason="this machine has no CA certificates")
def test_certificates_as_this_machine_has_them() -> None:
    contents = _of_this_machine()
    files = {"ca-certificates": [*contents]}
    assert _made(files, contents)["/etc/ssl/certs/ca-certificates.crt"] == BUNDLE.read_bytes()


@pytest.mark.skipif(
    shutil.which("keytool") is None or not BUNDLE.exists(),
    reason="this machine has no keytool, or no CA certificates",
)
def test_java_reads_the_trust_store(tmp_path: Path) -> None:
    contents = _of_this_machine()
    files = {"ca-certificates": [*contents], "ca-certificates-java": ["/j"]}
    store = _made(files, contents)["/etc/ssl/certs/java/cacerts"]
    (tmp_path / "cacerts").write_bytes(store)
    command = ["keytool", "-list", "-keystore", "cacerts", "-storepass", "changeit"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert told.count(b"trustedCertEntry") == len(_Reader(store).entries()) == len(contents)
