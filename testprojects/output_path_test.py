"""An `output_path` that leaves dist/: one error, and what is there stays as it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from built_enclave import TOOLCHAIN, image_key_file
from pants_runner import OURS, PantsRunner, pants_runner

BOOT = "testprojects/boot"
BUILD = """\
occlum_files(name="files", target="/bin", files=["app.sh"])
files(name="sources", sources=["app.sh"])
occlum_image(name="image", boms=[":files"])
"""
# By target type: its fields, and a tree that it writes.
TARGETS = {
    "occlum_image": ('boms=[":files"]', "image"),
    "occlum_enclave": (f'image=":image", toolchain="//{TOOLCHAIN}"', "occlum_instance"),
    "occlum_rootfs": (
        f'image="//{BOOT}:image", lower="l", upper="u", key_file="/etc/image_key"',
        "upper",
    ),
    "rune_bundle": ('image=":image", args=["/bin/app.sh"]', "bundle"),
    "oci_image": ('image=":image"', "layout"),
}


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top = tmp_path_factory.mktemp("pants")
    key = image_key_file(top / "key")
    options = (f"--occlum-image-key-file={key}",)
    backends = (*OURS, "pants.backend.shell")
    parts = (BOOT, TOOLCHAIN)
    with pants_runner(top, parts=parts, backends=backends, options=options) as runner:
        yield runner


@pytest.mark.parametrize("is_absolute", [False, True])
@pytest.mark.parametrize("alias", TARGETS)
def test_file_outside_of_dist_survives(pants: PantsRunner, alias: str, is_absolute: bool) -> None:
    fields, tree = TARGETS[alias]
    kind = "absolute" if is_absolute else "relative"
    outside = pants.top / "outside" / kind / alias
    output_path = str(outside) if is_absolute else f"../../outside/{kind}/{alias}"
    kept = outside / tree / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    address = _target(pants, f"{alias}/{kind}", alias, f'{fields}, output_path="{output_path}"')

    result = pants.run("package", address).expect(1)

    assert [path for path in outside.rglob("*") if path.is_file()] == [kept]
    assert "1 Exception encountered:" in result.stderr
    assert f"The 'output_path' field in target {address} must be a path below" in result.stderr
    assert "Traceback" not in result.stderr


def test_link_that_leads_out_of_dist(pants: PantsRunner) -> None:
    outside = pants.top / "outside/linked"
    kept = outside / "bundle/kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    pants.dist.mkdir(exist_ok=True)
    (pants.dist / "linked").symlink_to(outside)
    fields, _ = TARGETS["rune_bundle"]
    address = _target(pants, "linked", "rune_bundle", f'{fields}, output_path="linked"')

    result = pants.run("package", address).expect(1)

    assert [path for path in outside.rglob("*") if path.is_file()] == [kept]
    assert "1 Exception encountered:" in result.stderr
    assert f"The 'output_path' field in target {address} cannot be used: " in result.stderr
    assert f"dist/linked: leads to {outside}, which is not below" in result.stderr


def _target(pants: PantsRunner, folder: str, alias: str, fields: str) -> str:
    """The address of a target with the fields; written, not built."""
    pants.write(f"{folder}/app.sh", "#!/bin/sh\n")
    pants.write(f"{folder}/BUILD", f'{BUILD}{alias}(name="it", {fields})\n')
    return f"{folder}:it"
