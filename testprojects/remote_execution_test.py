"""Processes on a real server's workers, which have no file of the machine that builds."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Callable

import pytest

from built_enclave import HELLO, KEY_TEXT, PARTS, image_key_file, listing_of, small_enclave
from built_image import built_image
from execution_server import ExecutionServer, Worker, execution_server, interpreter
from pants_runner import OURS, PantsResult, PantsRunner, pants_runner

IMAGE = "testprojects/hello:image"
OF_PACKAGES = "testprojects/packages:image"
SMALL = "testprojects/packages"
MONOREPO = "testprojects/monorepo"
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
ENVIRONMENT = 'remote_environment(name="environment")\n'
NAMES = "--environments-preview-names={'workers': '//:environment'}"
# What the workers run of it, besides more.
MODULES = {
    "occlum_build.elf.scan",
    "occlum_build.occlum.configure",
    "occlum_build.occlum.initfs",
    "occlum_build.occlum.seal_image",
}


@contextlib.contextmanager
def checkout(
    top: Path, *options: str, parts: Sequence[str] = (), backends: Sequence[str] | None = OURS
) -> Iterator[PantsRunner]:
    """A checkout in a folder of its own, with its own store and named caches, without pantsd."""
    options = ("--no-pantsd", "--no-watch-filesystem", *options)
    parts = (*PARTS, SMALL, *parts)
    with pants_runner(top, parts=parts, backends=backends, options=options) as pants:
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
    server: ExecutionServer,
    top: Path,
    local: Mapping[str, tuple[str, bytes]],
    record_property: Callable[[str, object], None],
) -> None:
    with (
        server.worker("one", top) as one,
        server.worker("two", top) as two,
        checkout(top / "remote", *server.options) as pants,
    ):
        seconds = package(pants)
        assert listing_of(pants.dist) == local
        assert modules(one) and modules(two)
        assert set(modules(one, two)) >= MODULES
        record_property("seconds with two workers", round(seconds, 1))


def test_an_environment_names_the_workers(
    server: ExecutionServer,
    top: Path,
    local: Mapping[str, tuple[str, bytes]],
    record_property: Callable[[str, object], None],
) -> None:
    with (
        server.worker("alone", top) as worker,
        checkout(top / "environments", *server.options, NAMES, namespace("alone")) as pants,
    ):
        pants.write("BUILD", ENVIRONMENT + defaults(*KINDS))
        seconds = package(pants)
        assert listing_of(pants.dist) == local
        assert set(modules(worker)) >= MODULES
        record_property("seconds with one worker", round(seconds, 1))


def defaults(*kinds: str) -> str:
    """What a BUILD file says, so that these targets are made on the workers."""
    return f"__defaults__({ {kind: {'environment': 'workers'} for kind in kinds} })\n"


def namespace(name: str) -> str:
    """An option for a cache of its own."""
    return f"--process-execution-cache-namespace={name}"


def test_a_worker_that_is_killed_in_the_middle(
    server: ExecutionServer, top: Path, local: Mapping[str, tuple[str, bytes]]
) -> None:
    with (
        server.worker("killed", top) as killed,
        checkout(top / "killed", *server.options, namespace("killed")) as pants,
        ThreadPoolExecutor() as threads,
    ):
        built = threads.submit(package, pants, HELLO)
        wait_until(lambda: bool(killed.log("leased")), built)
        killed.kill()
        assert not built.done()
        with server.worker("heir", top) as heir:
            built.result()
        assert len(killed.log("leased")) == len(killed.log("ran")) + 1
        assert modules(heir)
        assert listing_of(pants.dist).items() <= local.items()


def wait_until(is_so: Callable[[], bool], build: Future[float]) -> None:
    """Wait for something that happens while a build runs."""
    while not is_so():
        if build.done():
            raise AssertionError(f"the build ended: {build.result()}")
        time.sleep(0.01)


def test_workers_without_a_link_to_an_interpreter(server: ExecutionServer, top: Path) -> None:
    elsewhere = server.top / "other caches"
    with (
        server.worker("without", top) as worker,
        checkout(top / "without", *server.options_with(elsewhere)) as pants,
    ):
        result = pants.run("package", OF_PACKAGES, env=WHAT).expect(1)
        codes = {one["exit_code"] for one in worker.log("ran")}
    told = error_of(result)
    assert codes == {127}
    assert f"the worker that ran it has no interpreter at {elsewhere}/occlum_python/python" in told
    assert "or set [GLOBAL].remote_execution_append_only_caches_base_path to" in told
    assert "mkdir" not in result.stderr and "exit code" not in result.stderr


def test_what_needs_a_key_stays_here(server: ExecutionServer, top: Path) -> None:
    key = image_key_file(top / "key of ours")
    options = (*server.options, f"--occlum-image-key-file={key}")
    with server.worker("curious", top) as worker, checkout(top / "encrypted", *options) as pants:
        address = small_enclave(pants, "encrypted", encrypt=True)
        result = pants.run("package", address, env=WHAT).expect(1)
        assert "occlum_build.occlum.seal_image" not in modules(worker)
    told = error_of(result)
    assert f"{address} is to be encrypted, which is done on this machine only" in told
    assert "build it with --no-remote-execution" in told
    secrets = (KEY_TEXT.encode(), bytes.fromhex(KEY_TEXT.replace("-", "")), str(key).encode())
    for path in server.server.blobs().values():
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets)


def error_of(result: PantsResult) -> str:
    """What a run that failed says last, without traces."""
    return result.stderr[result.stderr.rindex("[ERROR]") :]


def test_an_image_with_a_pex_that_is_made_here_or_there(server: ExecutionServer, top: Path) -> None:
    tool, greeter = f"{MONOREPO}/tool:tool", f"{MONOREPO}/greeter:image"
    options = ("--no-python-enable-resolves", *server.options)
    # By its path here Pants starts pex there, too.
    links = {Path(os.environ["OCCLUM_VENV"], "bin/python"): interpreter()}
    with server.worker("monorepo", top, links=links) as worker:
        with monorepo(top / "here", *options, NAMES) as pants:
            pants.write("BUILD", ENVIRONMENT + defaults("occlum_image"))
            package(pants, tool, greeter)
            assert len(modules(worker)) == len(worker.log("ran")) > 0
            packed = pants.dist / "testprojects.monorepo.tool/tool.pex"
            image = built_image(pants, greeter)
            assert (image.tree / "opt/tool/tool.pex").read_bytes() == packed.read_bytes()
            here = listing_of(pants.dist)
        search_path = f"--python-bootstrap-search-path=['{interpreter().parent}']"
        with monorepo(top / "there", *options, search_path, namespace("there")) as pants:
            package(pants, tool, greeter)
            assert any("./pex.pex" in one["argv"] for one in worker.log("ran"))
            assert listing_of(pants.dist) == here


def monorepo(top: Path, *options: str) -> AbstractContextManager[PantsRunner]:
    """A checkout with Pants' Python backend."""
    return checkout(top, *options, parts=[MONOREPO], backends=None)
