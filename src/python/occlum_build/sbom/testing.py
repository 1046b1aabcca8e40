"""An image with a component of every kind, and what its bill is made of, for tests."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from occlum_build.sbom.debian import Copyright, controls_of, copyright_of
from occlum_build.sbom.describe import Deb, Known, describe
from occlum_build.sbom.model import Bill
from occlum_build.sbom.rows import ImageRows, Row

COPYRIGHT = b"""\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Somebody
License: GPL-2+ or Artistic, and BSD-3-clause

Files: lzf/*
Copyright: 2000 Somebody else
License: lzf
 Do what you like.
 .
 But tell us.

License: GPL-2+
 See /usr/share/common-licenses/GPL-2
"""
CONTROL = b"""\
Package: libgreet1
Source: greet (1:2.0-1)
Version: 1.1-1
Architecture: amd64
Maintainer: A Greeter <greeter@example.com>
Homepage: https://example.com/greet
Description: says hello
"""
METADATA = b"""\
Metadata-Version: 2.1
Name: My.Dist
Version: 1.0
License-Expression: MIT OR Apache-2.0
Classifier: License :: OSI Approved :: MIT License

Name: no.head
"""
RECORD = b"""\
my/__init__.py,sha256=x,0
my_dist-1.0.dist-info/METADATA,,
my_dist-1.0.dist-info/RECORD,,
../../../bin/my,,
gone.py,,
"""
SITE = "/usr/lib/python3.11/site-packages"
INFO = f"{SITE}/my_dist-1.0.dist-info"
DIGEST = "ab" * 32
POM = "version={}\ngroupId={}\nartifactId={}\n"
EDGES = (
    ("/bin/hello", "/usr/lib/libgreet.so.1"),
    ("/opt/app.jar/lib/native.so", "/usr/lib/libgreet.so.1"),
    ("/usr/lib/libgreet.so.1", "/usr/lib/libgreet.so.1"),
)


def jar(path: Path, *poms: tuple[str, str, str], manifest: str = "") -> bytes:
    """A Java archive of artefacts (group, name, version)."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\n" + manifest)
        for group, name, version in poms:
            place = f"META-INF/maven/{group}/{name}/pom.properties"
            archive.writestr(place, POM.format(version, group, name))
    return path.read_bytes()


class SmallImage:
    """A tree below a directory, its rows, and where the contents are."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.rows: list[Row] = []

    def add(self, path: str, content: bytes, package: str = "", version: str = "") -> None:
        file = self.top / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        self.rows.append(Row(path, sha256, len(content), package, version))

    def content(self, row: Row) -> str | None:
        return str(self.top / row.path[1:])

    def bill(
        self,
        debs: Mapping[str, Deb] | None = None,
        edges: tuple[tuple[str, str], ...] = (),
        name: str = "app:image",
    ) -> Bill:
        known = Known(self.content, debs or {}, edges)
        return describe(name, ImageRows(DIGEST, tuple(sorted(self.rows))), known)


def small_bill(top: Path) -> Bill:
    """The bill of an image that has one of each."""
    image = SmallImage(top)
    image.add("/bin/hello", b"hello")
    image.add("/usr/lib/libgreet.so.1", b"greet", "libgreet1", "1.1-1")
    image.rows.append(Row("/usr/lib/libgreet.so", package="libgreet1", version="1.1-1"))
    image.add("/usr/share/none", b"none", "none", "2")
    image.add(f"{INFO}/METADATA", METADATA)
    image.add(f"{INFO}/RECORD", RECORD)
    image.add(f"{INFO}/licenses/LICENSE", b"license")
    image.add(f"{SITE}/my/__init__.py", b"")
    image.add("/usr/bin/my", b"#!python")
    app = jar(top / "app.jar", ("org.x", "app", "2"), ("org.y", "inner", "3"))
    image.add("/opt/app.jar", app)
    image.add("/etc/os-release", b'ID=debian\nVERSION_ID="12"\n')
    deb = Deb(controls_of(CONTROL)[0], copyright_of(COPYRIGHT), "cd" * 32)
    return image.bill({"libgreet1": deb, "none": Deb(None, Copyright())}, EDGES)
