"""A real remote cache: what a second checkout takes from it, and what it may do wrong."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from built_enclave import (
    HELLO,
    KEY_TEXT,
    PARTS,
    built_enclave,
    image_key_file,
    small_enclave,
)
from built_image import built_image
from cache_server import CacheServer, cache_server, options_of
from distant_server import distant
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, RecordedRun, run_recorded
from sysroot_of_app import make_sysroot

IMAGE, IMAGE_TEST = "testprojects/hello:image", "testprojects/hello:greets"
WANTED = ("package", "test", IMAGE, HELLO, IMAGE_TEST)
APP = "app:image"
APP_BUILD = """\
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"])
"""
APP_BOM = "targets:\n- {target: /bin, copy: [{files: [/bin/app]}]}\n"
ALL_PARTS = (*PARTS, BACKENDS)


@contextlib.contextmanager
def checkout(top: Path, *options: str) -> Iterator[PantsRunner]:
    """A checkout in a folder of its own, with its own store and named caches, without pantsd."""
    with pants_runner(top, parts=ALL_PARTS, options=("--no-pantsd", *options)) as runner:
        yield runner


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sources_of(run: RecordedRun) -> set[str]:
    return {process.source for process in run.processes}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CacheServer]:
    with cache_server(tmp_path_factory.mktemp("server") / "storage") as running:
        yield running


@pytest.fixture(scope="module")
def first(
    server: CacheServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[PantsRunner, RecordedRun]]:
    """The checkout that filled the server's storage, with the run that did."""
    with checkout(tmp_path_factory.mktemp("first"), *server.options) as pants:
        yield pants, run_recorded(pants, *WANTED)


def test_a_second_checkout_runs_nothing(
    server: CacheServer, first: tuple[PantsRunner, RecordedRun], tmp_path: Path
) -> None:
    pants, filling = first
    assert sources_of(filling) == {"Ran"}

    with checkout(tmp_path / "another folder/of another user", *server.options) as second:
        run = run_recorded(second, *WANTED)

        assert run.ran == []
        assert f"{IMAGE_TEST} succeeded" in run.result.stderr
        assert sources_of(run) == {"HitRemotely"}
        wanted = [sorted(one.description for one in each.processes) for each in (filling, run)]
        assert wanted[0] == wanted[1]
        assert built_image(second, IMAGE).digest == built_image(pants, IMAGE).digest
        assert built_enclave(second, HELLO).listing() == built_enclave(pants, HELLO).listing()


def test_a_distant_server_is_waited_for(
    server: CacheServer, first: tuple[PantsRunner, RecordedRun], tmp_path: Path
) -> None:
    with distant(server.port, 0.6) as port, checkout(tmp_path, *options_of(port)) as second:
        run = run_recorded(second, "package", IMAGE)

        assert sources_of(run) == {"HitRemotely"}


def test_inputs_stay_here(server: CacheServer, first: tuple[PantsRunner, RecordedRun]) -> None:
    pants, _ = first
    stored = server.blobs()
    libos = built_enclave(pants, HELLO).instance / "build/lib/libocclum-libos.so.0.31.0"
    assert sha256(libos) in stored
    for path in ("testprojects/hello/hello.sh", "src/python/occlum_build/elf/scan.py"):
        assert sha256(pants.build_root / path) not in stored


def test_damaged_blobs_are_refused(
    server: CacheServer, first: tuple[PantsRunner, RecordedRun], tmp_path: Path
) -> None:
    pants, filling = first
    with server.damaged(), checkout(tmp_path / "second", *server.options) as second:
        run = run_recorded(second, "package", IMAGE, HELLO)

        assert sorted(run.ran) == sorted(one for one in filling.ran if IMAGE_TEST not in one)
        assert built_image(second, IMAGE).digest == built_image(pants, IMAGE).digest
        assert built_enclave(second, HELLO).listing() == built_enclave(pants, HELLO).listing()


def test_server_killed_in_mid_build(first: tuple[PantsRunner, RecordedRun], tmp_path: Path) -> None:
    pants, filling = first
    with (
        cache_server(tmp_path / "storage") as server,
        checkout(tmp_path / "second", *server.options) as second,
        ThreadPoolExecutor() as threads,
    ):
        enclave = built_enclave(second, HELLO)
        was_built = threads.submit(_kill_when_filled, server, enclave.folder)
        run = run_recorded(second, *WANTED)

        assert not was_built.result()
        assert sorted(run.ran) == sorted(filling.ran)
        assert enclave.listing() == built_enclave(pants, HELLO).listing()


def _kill_when_filled(server: CacheServer, output: Path) -> bool:
    """Kill the server once something was written to it; whether the output was there by then."""
    end = time.monotonic() + 120
    while not server.blobs() and time.monotonic() < end:
        time.sleep(0.01)
    server.kill()
    return output.exists()


def test_no_hit_from_another_cpu_level(server: CacheServer, tmp_path: Path) -> None:
    sysroot = make_sysroot(tmp_path / "sysroot")
    hwcaps = sysroot.top / "lib/glibc-hwcaps/x86-64-v3/libapp.so"
    hwcaps.parent.mkdir(parents=True)
    sysroot.make_library(3)
    sysroot.library.rename(hwcaps)
    sysroot.make_library(1)
    options = (*server.options, f"--occlum-sysroot={sysroot.top}")
    mrenclaves: list[str] = []
    libraries: list[list[bytes]] = []
    for level in ("baseline", "v3", "v3"):
        top = tmp_path / f"checkout {len(mrenclaves)}"
        with checkout(top, *options, f"--occlum-cpu-level={level}") as pants:
            pants.write("app/BUILD", APP_BUILD)
            pants.write("app/bom.yaml", APP_BOM)
            run = run_recorded(pants, "package", APP, small_enclave(pants, "levels"))
            tree = built_image(pants, APP).tree
            found = [*tree.rglob("libapp.so")]
            libraries.append([path.read_bytes() for path in found])
            mrenclaves.append(built_enclave(pants, "enclaves/levels:enclave").mrenclave)

    assert libraries == [[sysroot.library.read_bytes()], *[[hwcaps.read_bytes()]] * 2]
    assert mrenclaves[0] != mrenclaves[1] == mrenclaves[2]
    assert sources_of(run) == {"HitRemotely"}


def test_what_a_key_made_stays_here(server: CacheServer, tmp_path: Path) -> None:
    key = image_key_file(tmp_path / "key of ours")
    options = (*server.options, f"--occlum-image-key-file={key}")
    with checkout(tmp_path / "checkout", *options) as pants:
        address = small_enclave(pants, "encrypted", encrypt=True)
        run = run_recorded(pants, "package", address)
        enclave = built_enclave(pants, address)

    stored = server.blobs()
    sealed = [path for path in (enclave.instance / "build/mount").rglob("*") if path.is_file()]
    assert len(sealed) > 1
    for path in [*sealed, enclave.archive]:
        assert sha256(path) not in stored
    initfs = [path for path in (enclave.instance / "build/initfs").rglob("*") if path.is_file()]
    assert all(sha256(path) in stored for path in initfs)
    key_bytes = bytes.fromhex(KEY_TEXT.replace("-", ""))
    secrets = (KEY_TEXT.encode(), key_bytes, bytes(key), b"echo app")
    for path in stored.values():
        content = path.read_bytes()
        assert not any(secret in content for secret in secrets)
    with checkout(tmp_path / "second", *options) as second:
        small_enclave(second, "encrypted", encrypt=True)
        again = run_recorded(second, "package", address)
        assert built_enclave(second, address).listing() == enclave.listing()
    local = {one.description for one in again.processes if one.source != "HitRemotely"}
    assert set(again.ran) == local == {f"Make the secure file system of {address}"}
    assert local < set(run.ran)
