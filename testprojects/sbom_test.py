"""Bills of materials and provenance under the real ./pants, of packages and of a host."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_image import built_image
from occlum_build.sbom.testing_schemas import check_cyclonedx, check_spdx
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, run_recorded

SMALL, HELLO = "testprojects/packages", "testprojects/hello"
LISTED, HOST = f"{SMALL}:listed", "app:image"
BUILD = f'occlum_image(name="image", boms=["{HELLO}:bom"], sbom=["cyclonedx", "slsa", "spdx"])\n'
# They hold on every machine, as the archive is committed and the libraries are pinned.
SHA256 = {
    "image.cdx.json": "9af58ef6ac229da535a7a56361ab1598c614aba5664f88f8016c7c0cef552bab",
    "image.slsa.json": "266b3a945afd456e5018eeb4ce9da24c21f91bf197213c4ca0dbc69eb2367191",
    "image.spdx.json": "16269b5111b9d828c15ac89cd22624985a50f262417c95fc859bf91c9e977695",
}


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    with pants_runner(top, parts=[SMALL, HELLO, "testprojects/toolchain", BACKENDS]) as runner:
        runner.write("app/BUILD", BUILD)
        yield runner


def test_bills_of_images(pants: PantsRunner) -> None:
    run_recorded(pants, "package", LISTED, HOST)
    listed, host = (built_image(pants, address).folder for address in (LISTED, HOST))

    cyclonedx = check_cyclonedx((listed / "image.cdx.json").read_bytes())
    spdx = check_spdx((listed / "image.spdx.json").read_bytes())
    slsa = json.loads((listed / "image.slsa.json").read_bytes())
    lines = (pants.build_root / SMALL / "small.lock").read_text().splitlines()[1:]
    locked = {one["package"]: one for one in map(json.loads, lines) if one["type"] == "package"}
    found = {one["name"]: one for one in cyclonedx["components"]}
    assert sorted(found) == [
        *("base-passwd", "ca-certificates", "greet-long", "greeting-en", "libc6", "libgreet1"),
    ]
    for name, one in found.items():
        assert one["version"] == locked[name]["version"]
        assert one["hashes"] == [{"alg": "SHA-256", "content": locked[name]["sha256"]}]
    needs = {one["ref"]: one.get("dependsOn", []) for one in cyclonedx["dependencies"]}
    assert "deb/libgreet1@1.1-1" in needs["deb/greet-long@1:2.0-1"]
    assert found.keys() <= {one["name"] for one in spdx["packages"]}
    dependencies = slsa["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [one["name"] for one in dependencies] == sorted(found)
    assert slsa["subject"][0]["digest"]["sha256"] == built_image(pants, LISTED).digest[7:]

    components = check_cyclonedx((host / "image.cdx.json").read_bytes())["components"]
    inner = [file for one in components for file in one.get("components", [])]
    assert {"/bin/bash", "/bin/hello"} <= {one["name"] for one in (*components, *inner)}
    if Path("/var/lib/dpkg/status").exists():
        assert {"bash", "coreutils", "/bin/hello"} <= {one["name"] for one in components}
    check_spdx((host / "image.spdx.json").read_bytes())

    made = {name: (listed / name).read_bytes() for name in SHA256}
    assert {name: hashlib.sha256(one).hexdigest() for name, one in made.items()} == SHA256


def test_what_changes_no_bill_runs_nothing(pants: PantsRunner) -> None:
    for project in (SMALL, HELLO):
        bom = pants.build_root / project / "bom.yaml"
        pants.write(f"{project}/bom.yaml", f"# a line more\n{bom.read_text()}")
    assert run_recorded(pants, "package", LISTED, HOST).ran == []
