"""Processes on a real server's workers, which have no file of the machine that builds."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from built_enclave import HELLO, KEY_TEXT, PARTS, built_enclave, image_key_file, listing_of
from execution_server import ExecutionServer, Worker, execution_server
from pants_runner import PantsResult, PantsRunner, pants_runner

IMAGE = "testprojects/hello:image"
OF_PACKAGES = "testprojects/packages:image"
SMALL = "testprojects/packages"
KINDS = ("occlum_enclave", "occlum_image", "oci_image", "rune_bundle")
BUILD = """\
occlum_bom(name="bom", source="bom.yaml", env=["WHAT"])
occlum_image(name="image", boms=[":bom"])
rune_bundle(name="bundle", image="//testprojects/hello:image", args=["/bin/hello"])
oci_image(name="oci", enclave="//testprojects/hello:enclave", formats=["layout", "archive"])
"""
BOM = "targets: [{target: /$WHAT, mkdirs: [etc]}]\n"
ALL = (IMAGE, HELLO, OF_PACKAGES, "app:image", "app:bundle", "app:oci")
WHAT = {"WHAT": "of this machine"}
# Others of the plugin's processes than these run where Pants does, or not at all.
MODULES = {
    "occlum_build.elf.scan",
    "occlum_build.occlum.configure",
    "occlum_build.occlum.initfs",
    "occlum_build.occlum.seal",
}


@contextlib.contextmanager
def checkout(top: Path, *options: str) -> Iterator[PantsRunner]:
    """A checkout in a folder of its own, with its own store and named caches, without pantsd."""
    parts = (*PARTS, SMALL)
    with pants_runner(top, parts=parts, options=("--no-pantsd", "--no-watch-filesystem", *options)) as pants:
        pants.write("app/BUILD", BUILD)
        pants.write("app/bom.yaml", BOM)
        yield pants


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests have, and workers have not."""
    return tmp_path_factory.mktemp("client")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecutionServer]:
    with execution_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def local(top: Path, server: ExecutionServer) -> Mapping[str, tuple[str, bytes]]:
    """What is in dist after a build on this machine."""
    with checkout(top / "local") as pants:
        package(pants)
        return listing_of(pants.dist)


def package(pants: PantsRunner, *addresses: str) -> float:
    """Build everything, or some of it; how many seconds that took."""
    start = time.monotonic()
    pants.run("package", *(addresses or ALL), env=WHAT).expect(0)
    return time.monotonic() - start


def modules(*workers: Worker) -> list[str]:
    """The library's modules that workers have run."""
    argvs = [one["argv"] for worker in workers for one in worker.log("ran")]
    return [arg for argv in argvs for arg in argv if arg.startswith("occlum_build.")]


def test_two_workers_make_the_same_bytes(
    server: ExecutionServer, top: Path, local: Mapping[str, tuple[str, bytes]]
) -> None:
    with (
        server.worker("one", top) as one,
        server.worker("two", top) as two,
        checkout(top / "remote", *server.options) as pants,
    ):
        seconds = package(pants)
        assert listing_of(pants.dist) == local
        assert modules(one) and modules(two)
        assert MODULES <= set(modules(one, two))
        print(f"two workers: {seconds:.1f} s")
