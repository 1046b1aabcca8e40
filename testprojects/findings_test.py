"""What checks find of an image is told whatever is made of it: fresh, from memory, from a cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import TOOLCHAIN, image_key_file
from pants_runner import PantsRunner, pants_runner

BOM = """
targets:
  - target: /bin
    copy:
      - files: [../run.sh]
      - files: [{name: ../other.sh, rename: run.sh}]
  - target: /
    mkdirs: [dev, etc, host, lib, lib64, proc, root, sys, tmp]
    copy:
      - files: [{name: /bin/true, rename: bin/true}]
"""
BUILD = f"""
occlum_bom(name="bom", source="bom.yaml", env=["X=1"])
occlum_image(name="image", boms=[":bom"], formats=["tar"])
occlum_enclave(name="enclave", image=":image", toolchain="//{TOOLCHAIN}")
occlum_rootfs(name="rootfs", image=":image", lower="/l", upper="/u", key_file="/etc/image_key")
oci_image(
    name="oci", image=":image", entry_point=["/bin/run.sh"], formats=["layout"], repositories=[]
)
oci_image(name="oci_enclave", enclave=":enclave", formats=["layout"])
rune_bundle(name="bundle", image=":image", args=["/bin/run.sh"])
rune_bundle(name="enclave_bundle", enclave=":enclave", args=["/bin/true"])
oci_image(name="oci_bundle", bundle=":enclave_bundle", formats=["layout"])
archive(name="archive", packages=[":image"], format="tar")
experimental_test_shell_command(
    name="test", command="true", tools=["true"], execution_dependencies=[":image"]
)
files(name="files", sources=["*.sh"])
"""
MESSAGE = "[WARN] noisy:image: noisy/bom.yaml:6:24: overrides what noisy/bom.yaml:5:17 puts at"
ARTEFACTS = (
    "image",
    "enclave",
    "rootfs",
    "oci",
    "oci_enclave",
    "bundle",
    "enclave_bundle",
    "oci_bundle",
    "archive",
)


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    top: Path = tmp_path_factory.mktemp("findings") / "top"
    key = image_key_file(top.parent / "image_key")
    options = (
        f"--occlum-image-key-file={key}",
        "--backend-packages=+['pants.backend.shell']",  # for a test that depends on an image
    )
    with pants_runner(top, parts=(TOOLCHAIN,), options=options) as runner:
        runner.write("noisy/bom.yaml", BOM)
        runner.write("noisy/BUILD", BUILD)
        for name in ("run.sh", "other.sh"):
            runner.write(f"noisy/{name}", f"#!/bin/true\n# {name}\n").chmod(0o755)
        yield runner


def times_told(pants: PantsRunner, *args: str) -> int:
    return pants.run(*args).expect(0).stderr.count(MESSAGE)


@pytest.mark.parametrize("artefact", ARTEFACTS)
def test_each_artefact_tells_it_in_each_run(pants: PantsRunner, artefact: str) -> None:
    assert times_told(pants, "package", f"noisy:{artefact}") == 1
    assert times_told(pants, "package", f"noisy:{artefact}") == 1


def test_publishing_tells_it(pants: PantsRunner) -> None:
    assert times_told(pants, "publish", "noisy:oci") == 1


def test_a_test_that_uses_the_image_tells_it(pants: PantsRunner) -> None:
    assert times_told(pants, "test", "noisy:test") == 1
    assert times_told(pants, "test", "noisy:test") == 1


def test_it_is_told_once_of_all_together(pants: PantsRunner) -> None:
    assert times_told(pants, "package", *(f"noisy:{artefact}" for artefact in ARTEFACTS)) == 1


# The pantsd was started at the default level: one that is started at another keeps to that.
@pytest.mark.parametrize(("level", "times"), [("error", 0), ("warn", 1), ("info", 1)])
def test_log_levels_of_pants_are_honoured(pants: PantsRunner, level: str, times: int) -> None:
    assert times_told(pants, f"-l{level}", "package", "noisy:oci") == times


def test_it_is_told_when_all_comes_from_the_cache(pants: PantsRunner) -> None:
    assert times_told(pants, "package", "noisy:enclave") == 1
    pants.stop_pantsd()
    assert times_told(pants, "--no-pantsd", "package", "noisy:enclave") == 1
