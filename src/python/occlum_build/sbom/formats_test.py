"""Both formats against their official schemas, and what is in them."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Callable

import pytest

from occlum_build.sbom.debian import controls_of
from occlum_build.sbom.describe import Deb
from occlum_build.sbom.model import Bill, bill_json, read_bill
from occlum_build.sbom.testing import CONTROL, DIGEST, METADATA, SmallImage, jar, small_bill

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")
pytest.importorskip("spdx_tools", reason="spdx-tools is not installed")

from occlum_build.sbom.cyclonedx import cyclonedx_json
from occlum_build.sbom.spdx import spdx_json
from occlum_build.sbom.testing_schemas import check_cyclonedx, check_spdx


@pytest.fixture
def bill(tmp_path: Path) -> Bill:
    return small_bill(tmp_path)


def test_cyclonedx(bill: Bill) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = cyclonedx_json(bill)
    document = check_cyclonedx(data)
    assert "timestamp" not in document["metadata"]
    assert document["metadata"]["component"]["version"] == f"sha256:{DIGEST}"
    by_ref = {one["bom-ref"]: one for one in document["components"]}
    assert list(by_ref) == [
        "deb/libgreet1@1.1-1",
        "deb/none@2",
        "file/bin/hello",
        "file/etc/os-release",
        "maven/org.x/app@2",
        "pypi/my-dist@1.0",
    ]
    greet = by_ref["deb/libgreet1@1.1-1"]
    upstream = "greet%401:2.0-1"
    purl = f"pkg:deb/debian/libgreet1@1.1-1?arch=amd64&distro=debian-12&upstream={upstream}"
    assert greet["purl"] == purl
    assert greet["hashes"] == [{"alg": "SHA-256", "content": "cd" * 32}]
    assert greet["supplier"]["name"] == "A Greeter <greeter@example.com>"
    (license,) = greet["licenses"]
    assert license["expression"].startswith(
        "((GPL-2.0-or-later OR Artistic-1.0-Perl) AND (BSD-3-Clause)) AND GPL-2.0-or-later AND Lice"
    )
    (file,) = greet["components"]
    assert (file["type"], file["name"]) == ("file", "/usr/lib/libgreet.so.1")
    assert "licenses" not in by_ref["deb/none@2"]
    (inner, archive) = sorted(
        by_ref["maven/org.x/app@2"]["components"], key=lambda one: str(one["name"]), reverse=True
    )
    assert (inner["purl"], archive["name"]) == ("pkg:maven/org.y/inner@3", "/opt/app.jar")
    needs = {one["ref"]: one.get("dependsOn") for one in document["dependencies"]}
    assert needs["image"] == list(by_ref)
    assert needs["file/bin/hello"] == ["deb/libgreet1@1.1-1"]
    assert needs["maven/org.x/app@2"] == ["deb/libgreet1@1.1-1"]
    assert needs["deb/libgreet1@1.1-1"] is None


def test_spdx(bill: Bill) -> None:
    document = check_spdx(spdx_json(bill))
    assert document["creationInfo"]["created"] == "1970-01-01T00:00:00Z"
    by_name = {one["name"]: one for one in document["packages"]}
    greet = by_name["libgreet1"]
    assert greet["supplier"] == "Organization: A Greeter <greeter@example.com>"
    assert greet["sourceInfo"] == "built from: greet 1:2.0-1"
    assert greet["checksums"] == [{"algorithm": "SHA256", "checksumValue": "cd" * 32}]
    assert by_name["none"]["licenseDeclared"] == "NOASSERTION"
    assert by_name["my-dist"]["licenseDeclared"] == "MIT OR Apache-2.0"
    assert by_name["/usr/bin/my"]["primaryPackagePurpose"] == "FILE"
    (text,) = document["hasExtractedLicensingInfos"]
    assert text["licenseId"].startswith("LicenseRef-lzf-")
    assert text["extractedText"] == "Do what you like.\n\nBut tell us."
    kinds = {
        (one["spdxElementId"], one["relationshipType"], one["relatedSpdxElement"])
        for one in document["relationships"]
    }
    assert ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image") in kinds
    ids = {name: one["SPDXID"] for name, one in by_name.items()}
    assert (ids["/bin/hello"], "DEPENDS_ON", ids["libgreet1"]) in kinds
    assert (ids["org.x:app"], "CONTAINS", ids["org.y:inner"]) in kinds
    assert (ids["my-dist"], "CONTAINS", ids["/usr/bin/my"]) in kinds


def test_the_time_of_spdx(bill: Bill) -> None:
    document = check_spdx(spdx_json(bill, 1_700_000_000))
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"


def test_equal_bills_are_equal_bytes_with_names_of_their_content(
    bill: Bill, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    again = small_bill(tmp_path / "other")
    other = replace(bill, name="app:other")
    writers: list[tuple[Callable[[Bill], bytes], str]] = [
        (cyclonedx_json, "serialNumber"),
        (spdx_json, "documentNamespace"),
    ]
    for write, key in writers:
        data = write(bill)
        assert write(again) == data
        assert json.loads(write(other))[key] != json.loads(data)[key]


def test_a_bill_of_nothing(tmp_path: Path) -> None:
    empty = SmallImage(tmp_path).bill()
    assert check_cyclonedx(cyclonedx_json(empty))["components"] == []
    (image,) = check_spdx(spdx_json(empty))["packages"]
    assert image["primaryPackagePurpose"] == "CONTAINER"


def test_names_of_others(tmp_path: Path) -> None:
    image = SmallImage(tmp_path)
    debs: dict[str, Deb] = {}
    image.add('/a "b" #%?&', b"1")
    image.add("/日本", b"2")
    image.add("/lib/p q", b"3", "p+q.1", "1:2~3+b1")
    for number, escape in enumerate(["%zz", "%41", "#a#b", "<a>[b]{c}'\u202e"]):
        control = CONTROL.replace(b"/greet", escape.encode())
        debs[f"home{number}"] = Deb(controls_of(control.replace(b"libgreet1", b"x"))[0])
        image.add(f"/home{number}", b"", f"home{number}", "1.1-1")
    image.add("/site/a.egg-info", METADATA.replace(b"Name", b"Home-page: http://x/%zz\nName", 1))
    image.add("/x.jar", jar(tmp_path / "x", manifest="Implementation-Title: no group\r\n"))
    image.add("/y.jar", jar(tmp_path / "y", manifest="Bundle-SymbolicName: b;x=y\r\n"))
    found = check_cyclonedx(cyclonedx_json(image.bill(debs)))["components"]
    homes = [one["name"] for one in found if "externalReferences" in one]
    assert homes == ["home1", "home3"]
    check_spdx(spdx_json(image.bill(debs)))


def test_a_bill_travels_as_json(bill: Bill, tmp_path: Path) -> None:
    path = tmp_path / "bill.json"
    path.write_bytes(bill_json(bill))
    assert read_bill(str(path)) == bill
