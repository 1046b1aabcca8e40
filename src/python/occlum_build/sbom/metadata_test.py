"""What packages, distributions and archives say of themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.sbom.debian import Control, Copyright, controls_of, copyright_of
from occlum_build.sbom.jars import Artefact, Jar, jar_at, own_of
from occlum_build.sbom.python_metadata import (
    METADATA,
    Distribution,
    distribution_of,
    recorded_files,
)
from occlum_build.sbom.testing import COPYRIGHT, jar


def test_control_files() -> None:
    text = b"Package: a\nVersion: 1\n\nPackage: b\n\nPackage: c\nVersion: 2\nSource: s (3)\n"
    assert controls_of(text) == [
        Control("a", "1", "", "a", "1"),
        Control("c", "2", "", "s", "3"),
    ]
    assert controls_of(b"\xff\n") == []


NO_ADDRESSES = ["http://x/%zz", "http://x/%", "http://x/%a", "http://x/#a#b", "http://x y"]


@pytest.mark.parametrize("home", NO_ADDRESSES)
def test_a_homepage_that_is_no_address(home: str) -> None:
    (found,) = controls_of(f"Package: a\nVersion: 1\nHomepage: {home}\n".encode())
    assert found.homepage == ""


def test_copyright_files() -> None:
    found = copyright_of(COPYRIGHT)
    assert found.licenses == ("GPL-2+", "GPL-2+ or Artistic, and BSD-3-clause", "lzf")
    assert dict(found.texts)["lzf"] == "Do what you like.\n\nBut tell us."
    assert copyright_of(COPYRIGHT.replace(b"\n", b"\r\n")) == found


@pytest.mark.parametrize(
    "text",
    [b"", b"This is GPL-2.", b"License: GPL-2", b"Format: mine\n\nLicense: GPL-2", b"\xff\xfe"],
)
def test_a_copyright_file_that_is_for_people(text: bytes) -> None:
    assert copyright_of(text) == Copyright()


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ("License-Expression: MIT\nLicense: other", "MIT"),
        ("License: BSD-3-Clause", "BSD-3-Clause"),
        ("License: UNKNOWN", ""),
        (f"License: {'x' * 101}\nClassifier: License :: OSI Approved :: MIT License", "MIT"),
        (
            "License: Copyright\n   All rights\nClassifier: License :: OSI Approved :: MIT License",
            "MIT",
        ),
        ("Classifier: License :: OSI Approved :: BSD License", ""),
        ("Description: a\n  b\n\nLicense: MIT", ""),
    ],
)
def test_distributions(fields: str, due: str) -> None:
    text = f"Metadata-Version: 2.1\nName: A_b.c\nVersion: 1.0+x\n{fields}\n"
    assert distribution_of(text.encode()) == Distribution("a-b-c", "1.0+x", due)
    assert distribution_of(text.replace("\n", "\r\n").encode()) is not None


@pytest.mark.parametrize("home", [*NO_ADDRESSES, "ftp://x"])
def test_a_home_page_that_is_no_address(home: str) -> None:
    found = distribution_of(f"Name: a\nVersion: 1\nHome-page: {home}\n".encode())
    assert found == Distribution("a", "1")


@pytest.mark.parametrize(
    "text", [b"", b"Name: a", b"Version: 1", b"Name: ../a\nVersion: 1", b"Name: a\nVersion: 1 2"]
)
def test_what_is_no_distribution(text: bytes) -> None:
    assert distribution_of(text) is None


def test_where_distributions_are_looked_for() -> None:
    found = ["/a.dist-info/METADATA", "/x/a.egg-info", "/x/a-1.egg-info/PKG-INFO"]
    assert all(METADATA.fullmatch(path) for path in found)
    others = ["/METADATA", "/x/METADATA", "/a.dist-info/RECORD", "/x/.dist-info/METADATA"]
    assert not any(METADATA.fullmatch(path) for path in others)


def test_records() -> None:
    assert recorded_files(b'a,,\n"b,c",,\n../../bin/x,,\n/abs,,\n\n', "/lib/site") == {
        *("/lib/site/a", "/lib/site/b,c", "/bin/x", "/abs"),
    }
    assert recorded_files(b"x" * 200_000, "/") == set()  # a field of more than csv takes


def test_archives_of_java(tmp_path: Path) -> None:
    path = tmp_path / "app-1.0.jar"
    jar(path, ("g", "app", "1.0"), ("h", "lib", "2"))
    own, inner = Artefact("g", "app", "1.0"), Artefact("h", "lib", "2")
    found = jar_at(str(path))
    assert own_of(found, str(path)) == Jar(own, (inner,))
    assert own_of(found, "/opt/all.jar") == Jar(None, (own, inner))
    jar(path, ("g", "app", "1.0"))
    assert own_of(jar_at(str(path)), "/opt/renamed.jar") == Jar(own)


@pytest.mark.parametrize(
    ("manifest", "due"),
    [
        ("Bundle-SymbolicName: a.b;singleton:=true\r\nBundle-Version: 2\r\n", ("", "a.b", "2")),
        ("Implementation-Title: a b\r\n", None),
        ("Implementation-Title: very-\r\n long\r\nImplementation-Vendor-Id: g\r\n",
         ("g", "very-long", "")),
        ("\r\nName: x\r\nImplementation-Title: of-x\r\n", None),
    ],
)  # fmt: skip
def test_manifests_of_java(tmp_path: Path, manifest: str, due: tuple[str, str, str] | None) -> None:
    path = tmp_path / "a.jar"
    jar(path, manifest=manifest)
    assert jar_at(str(path)) == Jar(Artefact(*due) if due is not None else None)


def test_the_license_of_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.jar"
    url = "https://www.apache.org/licenses/LICENSE-2.0.txt"
    jar(path, ("g", "a", "1"), manifest=f"Bundle-SymbolicName: b\r\nBundle-License: {url}\r\n")
    own = own_of(jar_at(str(path)), "/a.jar").own
    assert own == Artefact("g", "a", "1", "Apache-2.0")


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.jar"
    whole = jar(path, ("g", "a", "1"), ("not a group", "b", "2"))
    assert [one.name for one in jar_at(str(path)).inner] == ["a"]
    for content in (b"", b"PK\x03\x04" + b"x" * 100, whole[:-10], whole[:200]):
        path.write_bytes(content)
        assert jar_at(str(path)) == Jar(None)
