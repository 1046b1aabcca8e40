"""The suite that this machine's apt knows: redis locked anew, built twice, and run in a chroot."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from another_machine import another_machine
from built_enclave import listing_of
from built_image import WAYS, built_image, image_root
from debian_mirror import DebianMirror, debian_mirror
from pants_runner import PantsRunner, pants_runner
from system_tools import wait_for_file

REDIS = "testprojects/redis"
WANTED = ("redis-server", "ca-certificates", "base-files")
TREE, TAR, SCANNED = "debian:image", "debian:tar", "debian:scanned"
BUILD = """\
occlum_packages(
    name="packages", archives={archives}, packages={wanted}, lockfile="./debian.lock"
)
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"], sysroot=":packages")
occlum_image(name="scanned", boms=[":bom"], sysroot=":packages", package_metadata=True)
occlum_image(name="tar", boms=[":bom"], sysroot=":packages", formats=["tar"])
"""


def write(mirror: DebianMirror, pants: PantsRunner) -> None:
    shutil.copy(Path(REDIS, "bom.yaml"), mirror.write(pants, BUILD, WANTED))


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> DebianMirror:
    return debian_mirror(
        tmp_path_factory.mktemp("mirror"), tmp_path_factory.mktemp("downloads"), WANTED
    )


@pytest.fixture(scope="module")
def pants(mirror: DebianMirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    """The machine that has locked the packages and built both images."""
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=[REDIS]) as runner:
        write(mirror, runner)
        runner.run("generate-lockfiles", "--resolve=debian:packages").expect(0)
        runner.run("package", TREE, TAR).expect(0)
        yield runner


def test_another_machine_locks_and_builds_the_same(
    mirror: DebianMirror, pants: PantsRunner, tmp_path: Path
) -> None:
    with another_machine(tmp_path / "m", partial(write, mirror), parts=[REDIS]) as second:
        second.run("generate-lockfiles", "--resolve=debian:packages").expect(0)
        second.run("package", TREE, TAR).expect(0)

        locks = [runner.build_root / "debian/debian.lock" for runner in (pants, second)]
        assert locks[0].read_bytes() == locks[1].read_bytes()
        assert listing_of(second.dist) == listing_of(pants.dist)
    assert built_image(pants, TREE).digest == built_image(pants, TAR).digest


def test_what_scanners_look_for(mirror: DebianMirror, pants: PantsRunner) -> None:
    """As the packages have it by dpkg-deb, which no build has run."""
    pants.run("package", SCANNED).expect(0)
    tree = built_image(pants, SCANNED).tree
    status = tree / "var/lib/dpkg/status.d"
    names = [path.name for path in status.iterdir() if path.suffix != ".md5sums"]
    assert {"base-files", "libc6", "redis-tools"} <= set(names)
    debs = {path.name.partition("_")[0]: path for path in mirror.root.rglob("*.deb")}
    for name in names:
        for member, path in (("control", status / name), ("md5sums", status / f"{name}.md5sums")):
            told = subprocess.run(["dpkg-deb", "-I", debs[name], member], capture_output=True)
            assert told.returncode or told.stdout == path.read_bytes()
        assert (tree / f"usr/share/doc/{name}/copyright").stat().st_size > 100
    assert "\nID=debian\n" in (tree / "etc/os-release").read_text()
    manifest = json.loads((tree.parent / "manifest.json").read_text())
    of = {one["path"]: one.get("provenance", {}).get("package") for one in manifest["entries"]}
    assert of["/bin/redis-server"] == "redis-tools"


@pytest.mark.parametrize("way", WAYS)
def test_redis_of_packages_answers(pants: PantsRunner, way: str) -> None:
    server = ["/bin/redis-server", "--port", "0", "--unixsocket", "/tmp/redis", "--save", ""]
    with image_root(built_image(pants, TREE), way) as root, root.serving(*server) as process:
        wait_for_file(root.path / "tmp/redis", process)
        assert root.run("/bin/redis-cli", "-s", "/tmp/redis", "ping") == "PONG\n"
