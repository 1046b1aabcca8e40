"""A sysroot's lock file and a real remote cache: machines that lack the host's files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from built_enclave import TOOLCHAIN, built_enclave, small_enclave
from built_image import built_image
from cache_server import CacheServer, cache_server
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, RecordedRun, run_recorded
from sysroot_of_app import Sysroot, make_sysroot

BUILD = """\
occlum_sysroot(name="host", root="{root}", lockfile="./host.lock")
occlum_bom(name="bom", source="bom.yaml", loader_config="/etc/loader.config")
occlum_image(name="tar", boms=[":bom"], sysroot=":host", formats=["tar"])
occlum_image(name="tree", boms=[":bom"], sysroot=":host")
"""
BOM = "targets:\n- {target: /bin, copy: [{files: [/bin/app]}]}\n"
STATUS = "Package: app\nStatus: install ok installed\nArchitecture: amd64\nVersion: {}\n"
LOCK = "app/host.lock"
LIBRARY = "/lib/libapp.so"
REQUIRE = "--occlum-lock=require"
SHARE = "--occlum-share-host-files"


@dataclass(frozen=True)
class Machine:
    """A checkout on a machine of its own, with the enclave that is built there."""

    pants: PantsRunner
    enclave: str

    def package(self, *args: str, exit_code: int = 0) -> RecordedRun:
        return run_recorded(self.pants, "package", *args, exit_code=exit_code)

    @property
    def lock(self) -> Path:
        return self.pants.build_root / LOCK

    def library(self) -> bytes:
        """The library in the archive of the image."""
        with tarfile.open(built_image(self.pants, "app:tar").folder / "image.tar") as archive:
            member = archive.extractfile(LIBRARY[1:])
            assert member is not None
            return member.read()


@contextlib.contextmanager
def machine(top: Path, root: Path, server: CacheServer) -> Iterator[Machine]:
    parts = (TOOLCHAIN, BACKENDS)
    with pants_runner(top, parts=parts, options=server.options) as pants:
        pants.write("app/BUILD", BUILD.format(root=root))
        pants.write("app/bom.yaml", BOM)
        yield Machine(pants, small_enclave(pants, "small", image="//app:tar"))


def install(sysroot: Sysroot, version: str, value: int) -> None:
    """Put a version of the package into the sysroot: its library, and what dpkg knows of it."""
    sysroot.make_library(value)
    info = sysroot.top / "var/lib/dpkg/info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "app.list").write_text(f"/bin/app\n{LIBRARY}\n")
    (info.parent / "status").write_text(STATUS.format(version))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheServer]:
    with cache_server(tmp_path_factory.mktemp("server") / "storage") as running:
        yield running


@pytest.fixture(scope="module")
def sysroot(tmp_path_factory: pytest.TempPathFactory) -> Sysroot:
    made = make_sysroot(tmp_path_factory.mktemp("host") / "sysroot")
    (made.top / "etc").mkdir()
    (made.top / "etc/loader.config").write_text("\n")
    install(made, "1.0", 1)
    return made


@pytest.fixture(scope="module")
def full(
    server: CacheServer, sysroot: Sysroot, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """The machine that has the host's files, and has pinned them and built all but the tree."""
    with machine(tmp_path_factory.mktemp("full"), sysroot.top, server) as made:
        made.pants.run("generate-lockfiles", "--resolve=app:host").expect(0)
        made.package("--occlum-lock=verify", "app:tar", made.enclave)
        yield made


@pytest.fixture(scope="module")
def bare(
    server: CacheServer, full: Machine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A machine that has the lock file and none of the host's files."""
    with machine(tmp_path_factory.mktemp("bare"), Path("/no/such/sysroot"), server) as made:
        shutil.copy(full.lock, made.lock)
        yield made


def test_outputs_come_from_the_cache(full: Machine, bare: Machine, server: CacheServer) -> None:
    assert sha256(full.library()) not in server.blobs()

    run = bare.package(REQUIRE, "app:tar", bare.enclave)

    assert {process.source for process in run.processes} == {"HitRemotely"}
    assert bare.library() == full.library()
    digests = [built_image(one.pants, "app:tar").digest for one in (bare, full)]
    assert digests[0] == digests[1]
    found = [built_enclave(one.pants, one.enclave).listing() for one in (bare, full)]
    assert found[0] == found[1]


def test_initfs_of_an_image_needs_the_files_too(full: Machine, bare: Machine) -> None:
    fields = {"image": "//app:tar", "initfs": "//app:tree"}
    enclave = small_enclave(bare.pants, "initfs", **fields)
    stderr = bare.package(REQUIRE, enclave, exit_code=1).result.stderr
    assert "app/host.lock pins files that are not in /no/such/sysroot" in stderr
    assert "app 1.0 (not installed): gone /bin/app and /lib/libapp.so" in stderr
    assert "Missing digest" not in stderr


def test_tree_needs_the_files_to_be_shared(
    full: Machine, bare: Machine, server: CacheServer
) -> None:
    stderr = bare.package(REQUIRE, "app:tree", exit_code=1).result.stderr
    assert "app/host.lock pins files that are not in /no/such/sysroot" in stderr
    assert "app 1.0 (not installed): gone /bin/app and /lib/libapp.so" in stderr
    assert "pants generate-lockfiles --resolve=app:host" in stderr
    assert "Missing digest" not in stderr

    # An archive, which itself takes the files from the host, shares them as well.
    full.package(REQUIRE, SHARE, "app:tar")
    assert sha256(full.library()) in server.blobs()
    run = bare.package(REQUIRE, SHARE, "app:tree")

    assert {process.source for process in run.processes} == {"HitRemotely"}
    full.package(REQUIRE, "app:tree")
    assert built_image(bare.pants, "app:tree").listing() == (
        built_image(full.pants, "app:tree").listing()
    )


def test_no_hit_from_another_lock(full: Machine, bare: Machine, sysroot: Sysroot) -> None:
    first, pinned = full.library(), full.lock.read_bytes()
    install(sysroot, "1.1", 2)
    second = sysroot.library.read_bytes()
    assert first != second

    # Without new pins: the build fails, and says what moved.
    stderr = full.package(REQUIRE, "app:tar", exit_code=1).result.stderr
    assert "app 1.0 -> 1.1: changed /lib/libapp.so" in stderr

    diff = full.pants.run("generate-lockfiles", "--resolve=app:host", "--diff").expect(0).stderr
    (moved,) = [line.split() for line in diff.splitlines() if "-->" in line]
    assert moved == ["app", "1.0", "-->", "1.1"]
    line = next(line for line in full.lock.read_text().splitlines() if LIBRARY in line)
    assert json.loads(line)["sha256"] == sha256(second)

    # The cache has the first image only, which the new pins must not find.
    shutil.copy(full.lock, bare.lock)
    bare.package(REQUIRE, "app:tar", exit_code=1)
    run = full.package(REQUIRE, "app:tar")
    assert any("Archive the image" in description for description in run.ran)
    assert full.library() == second
    run = bare.package(REQUIRE, "app:tar")
    assert {process.source for process in run.processes} == {"HitRemotely"}
    assert bare.library() == second

    # And the old pins still find the first.
    bare.lock.write_bytes(pinned)
    bare.package(REQUIRE, "app:tar")
    assert bare.library() == first
