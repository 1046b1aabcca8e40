"""Packages of an image by a root, and by .deb files."""

from __future__ import annotations

import pytest

from occlum_build.sbom.packages import owned_rows
from occlum_build.sbom.rows import ImageRows, Row
from occlum_build.sbom.testing import DIGEST


@pytest.mark.parametrize("name", ["", " ", "/", "..", ":amd64", "a b"])
def test_what_is_no_name_of_a_package_owns_nothing(name: str) -> None:
    image = ImageRows(DIGEST, (Row("/a", "aa" * 32, 1, source="/a"),))
    assert owned_rows(image, {"/a": (name, "1")}) == image


def test_a_package_of_an_architecture_and_a_version_that_is_not_utf8() -> None:
    image = ImageRows(DIGEST, (Row("/a", "aa" * 32, 1, source="/a"),))
    (row,) = owned_rows(image, {"/a": ("libc6:amd64", "1\udcff")}).rows
    assert (row.package, row.version) == ("libc6", "1\\xff")
