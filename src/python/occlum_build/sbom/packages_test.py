"""Packages of an image by a root, and by .deb files."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.errors import OcclumError
from occlum_build.packages.testing_debs import Item, deb_of
from occlum_build.sbom.debian import Copyright
from occlum_build.sbom.describe import Deb, deb_of_version
from occlum_build.sbom.packages import DebFile, owned_rows, packaged_by_files, packaged_by_root
from occlum_build.sbom.rows import ImageRows, Row
from occlum_build.sbom.testing import CONTROL, COPYRIGHT, DIGEST
from occlum_build.sources.os import OsSources

STATUS = CONTROL.replace(b"Version", b"Status: install ok installed\nVersion")


def of(version: str, package: str = "libgreet1") -> ImageRows:
    return ImageRows(DIGEST, (Row("/a", "aa" * 32, 1, package, version, "/usr/lib/libgreet.so.1"),))


@pytest.mark.parametrize("name", ["", " ", "/", "..", ":amd64", "a b"])
def test_what_is_no_name_of_a_package_owns_nothing(name: str) -> None:
    image = ImageRows(DIGEST, (Row("/a", "aa" * 32, 1, source="/a"),))
    assert owned_rows(image, {"/a": (name, "1")}) == image


def test_a_package_of_an_architecture_and_a_version_that_is_not_utf8() -> None:
    image = ImageRows(DIGEST, (Row("/a", "aa" * 32, 1, source="/a"),))
    (row,) = owned_rows(image, {"/a": ("libc6:amd64", "1\udcff")}).rows
    assert (row.package, row.version) == ("libc6", "1\\xff")


@pytest.mark.parametrize(
    ("version", "told"), [("1.0", "libgreet1 1.0"), ("", "libgreet1 without a version")]
)
def test_a_file_of_another_version(tmp_path: Path, version: str, told: str) -> None:
    path = tmp_path / "greet.deb"
    path.write_bytes(deb_of("libgreet1", "1.1-1", [Item("./usr/lib/libgreet.so.1", b"greet")]))
    files = [DebFile(path, "greet.deb")]
    with pytest.raises(OcclumError) as error:
        packaged_by_files(of(version), files)
    assert error.value.code == "sbom"
    message = f"greet.deb: it is libgreet1 1.1-1, and the image has {told}\n  hint: name the "
    assert str(error.value).startswith(message)
    assert packaged_by_files(of("1.1-1"), files).debs["libgreet1"].sha256
    assert packaged_by_files(of("1", "other"), files).debs == {}
    unknown = packaged_by_files(of("", ""), files)
    assert (unknown.image, *unknown.debs) == (of("1.1-1"), "libgreet1")


@pytest.mark.parametrize("path", ["status", "status.d/libgreet1"])
def test_a_root_with_another_version(tmp_path: Path, path: str) -> None:
    for name, content in ((f"var/lib/dpkg/{path}", STATUS), ("usr/share/doc", COPYRIGHT)):
        place = tmp_path / name
        place = place / "libgreet1/copyright" if content is COPYRIGHT else place
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
    assert packaged_by_root(of("1.0"), OsSources(str(tmp_path))).debs == {}
    deb = packaged_by_root(of("1.1-1"), OsSources(str(tmp_path))).debs["libgreet1"]
    assert deb.control is not None and deb.control.source == "greet"
    assert deb.copyright != Copyright()
    # Of an image that has both versions.
    both = ImageRows(DIGEST, (*of("1.0").rows, *of("1.1-1").rows))
    debs = packaged_by_root(both, OsSources(str(tmp_path))).debs
    assert deb_of_version(debs, "libgreet1", "1.0") == Deb()
    assert deb_of_version(debs, "libgreet1", "1.1-1") == deb
