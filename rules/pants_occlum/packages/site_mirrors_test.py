from __future__ import annotations

from pathlib import Path

import pytest
from pants.engine.rules import QueryRule

from occlum_build.errors import OcclumError
from pants_occlum.packages.site_mirrors import (
    WHEEL_MIRRORS,
    FoundArchive,
    NamedArchive,
    checked_archive_mirrors,
    checked_mirrors,
)
from pants_occlum.testing import Project


def test_directories_of_the_project_are_below_the_build_root() -> None:
    option = {"a:b": ["//mirror/{name}", "file:/srv/x"], "a:c": []}
    assert checked_archive_mirrors(option, "/root") == {
        "a:b": ("file:/root/mirror/{name}", "file:/srv/x"),
        "a:c": (),
    }


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"a:b": "file:/srv/x"}, "'a:b' must be a list of mirrors"),
        ({"a:b": 1}, "'a:b' must be a list of mirrors"),
        ({"a:b": {"x": "y"}}, "'a:b' must be a list of mirrors"),
        ({"a:b": [1]}, "'1' is no text"),
        ({"a:b": ["srv/x"]}, "the mirror 'srv/x' is no http:"),
        ({1: []}, "'1' is no address"),
        (["file:/srv/x"], "is no table of addresses"),
    ],
)
def test_what_is_no_table_of_mirrors(option: object, words: str) -> None:
    with pytest.raises(OcclumError) as error:
        checked_archive_mirrors(option, "/root")
    assert str(error.value).startswith("[occlum].archive_mirrors: ") and words in str(error.value)


def test_what_is_no_mirror_of_wheels() -> None:
    with pytest.raises(OcclumError, match=r"\[occlum\].wheel_mirrors: the mirror 'ftp://x'"):
        checked_mirrors(["ftp://x"], "/root", WHEEL_MIRRORS)


@pytest.mark.parametrize(
    ("address", "spec"),
    [
        *((one, "app/lib:lib") for one in ("app/lib", "app/lib:lib", "//app/lib:lib")),
        ("app/lib:other", "app/lib:other"),
        *((one, "") for one in ("app/lib:gone", "gone:lib", "app:lib", "a:b:c")),
    ],
)
def test_addresses_as_people_write_them(address: str, spec: str, tmp_path: Path) -> None:
    project = Project(tmp_path, QueryRule(FoundArchive, [NamedArchive]))
    project.write({"app/lib/BUILD": 'files(sources=["x"])\nfiles(name="other", sources=["x"])'})
    assert project.request(FoundArchive, NamedArchive(address)).spec == spec
