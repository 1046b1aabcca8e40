from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.sbom.describe import is_read
from occlum_build.sbom.identity import bill_uuid
from occlum_build.sbom.model import Component
from occlum_build.sbom.testing import METADATA, SmallImage, jar, small_bill


@pytest.fixture
def image(tmp_path: Path) -> SmallImage:
    return SmallImage(tmp_path)


def by_ref(image: SmallImage) -> dict[str, Component]:
    return {one.ref: one for one in image.bill().components}


def paths(component: Component) -> list[str]:
    return [file.path for file in component.files]


def test_each_file_is_in_one_component(tmp_path: Path) -> None:
    files = [file.path for one in small_bill(tmp_path).components for file in one.files]
    assert len(set(files)) == len(files) == 10


def test_what_came_with_a_package_is_inside_of_it(image: SmallImage, tmp_path: Path) -> None:
    info = "/usr/lib/python3/dist-packages/my.egg-info"
    image.add(f"{info}/PKG-INFO", METADATA, "python3-my", "1")
    app = jar(tmp_path / "x", ("g", "app", "2"), ("h", "inner", "3"))
    image.add("/usr/share/java/app.jar", app, "libapp-java", "2")
    found = by_ref(image)
    assert found["pypi/my-dist@1.0"].inside == "deb/python3-my@1"
    assert paths(found["pypi/my-dist@1.0"]) == []
    assert found["maven/g/app@2"].inside == "deb/libapp-java@2"
    assert found["maven/h/inner@3"].inside == "maven/g/app@2"
    assert paths(found["deb/libapp-java@2"]) == ["/usr/share/java/app.jar"]


def test_one_distribution_at_two_places(image: SmallImage) -> None:
    for site in ("/a", "/b"):
        image.add(f"{site}/my-1.dist-info/METADATA", METADATA)
        image.add(f"{site}/my-1.dist-info/sub/LICENSE", b"x")
        image.add(f"{site}/my-1.dist-info0", b"x")
    found = by_ref(image)
    other = "pypi/my-dist@1.0#/b/my-1.dist-info/METADATA"
    assert paths(found["pypi/my-dist@1.0"]) == [
        "/a/my-1.dist-info/METADATA",
        "/a/my-1.dist-info/sub/LICENSE",
    ]
    assert paths(found[other])[0] == "/b/my-1.dist-info/METADATA"
    assert "file/b/my-1.dist-info0" in found


def test_an_egg_info_that_is_a_file(image: SmallImage) -> None:
    image.add("/site/my.egg-info", METADATA)
    image.add("/site/other", b"x")
    assert list(by_ref(image)) == ["file/site/other", "pypi/my-dist@1.0"]


def test_metadata_that_says_nothing_is_a_file(image: SmallImage, tmp_path: Path) -> None:
    image.add("/my.dist-info/METADATA", b"Name: \xff\n")
    image.add("/a.jar", b"PK\x03\x04" + b"x" * 100)
    image.add("/b.jar", jar(tmp_path / "x", ("g", "one", "1"), ("g", "two", "1")))
    found = by_ref(image)
    assert {"file/my.dist-info/METADATA", "file/a.jar", "file/b.jar"} <= found.keys()
    assert found["maven/g/one@1"].inside == "file/b.jar"


@pytest.mark.parametrize(
    ("release", "due"),
    [
        (b"", ("debian", "")),
        (b'ID="ubuntu"\nVERSION_ID="22.04"\n', ("ubuntu", "ubuntu-22.04")),
        (b"VERSION_ID=12\nID='debian'\n", ("debian", "debian-12")),
        (b"ID=a b\n", ("debian", "")),
        (b"ID=arch\n", ("arch", "")),
    ],
)
def test_distributions(image: SmallImage, release: bytes, due: tuple[str, str]) -> None:
    image.add("/usr/lib/os-release", release, "base-files", "1")
    found = by_ref(image)["deb/base-files@1"]
    assert (found.group, found.distro) == due


def test_the_distribution_by_a_version(image: SmallImage) -> None:
    image.add("/a", b"", "a", "1-2ubuntu3")
    assert by_ref(image)["deb/a@1-2ubuntu3"].group == "ubuntu"


@pytest.mark.parametrize("path", ["", "/", "//", "//x", "///x/y", "x", "/none/x"])
def test_an_edge_of_what_is_no_file(image: SmallImage, path: str) -> None:
    image.add("/a", b"a")
    assert image.bill(edges=((path, "/a"), ("/a", path))).needs == ()


def test_a_name_of_a_bill_is_of_its_content(image: SmallImage) -> None:
    image.add("/a", b"a")
    one, again, other = image.bill(), image.bill(), image.bill(name="b")
    assert bill_uuid(one) == bill_uuid(again) != bill_uuid(other)
    assert bill_uuid(one).version == 5


def test_which_contents_are_read() -> None:
    read = ["/x.dist-info/METADATA", "/x.dist-info/RECORD", "/a.jar", "/etc/os-release"]
    assert all(map(is_read, read))
    assert not any(map(is_read, ["/RECORD", "/a.jar.txt", "/os-release", "/bin/sh"]))
