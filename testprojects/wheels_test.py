"""Wheels under the real ./pants: a small resolve that is here on every machine, and mirrors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_image import BuiltImage, built_image
from occlum_build.packages.testing_server import MirrorServer, nobody_listens, served
from packages.small_wheels import small_lock, small_wheels, write_wheels
from pants_runner import PantsRunner, pants_runner
from recorded_run import BACKENDS, run_recorded

SMALL = "testprojects/packages"
IMAGE = f"{SMALL}:python"
# It holds on every machine: of what is committed nothing else is known.
DIGEST = "sha256:87b1876180587b8881fa1fa833e35f2da792d7fdb393df6f8c646dfd6c13165a"
SITE = "usr/lib/python3/dist-packages"


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    parts = (SMALL, "testprojects/toolchain", BACKENDS)
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=parts) as runner:
        yield runner


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorServer]:
    root = tmp_path_factory.mktemp("mirror")
    write_wheels(root)
    with served(root) as server:
        yield server


def mirrors(*urls: str) -> str:
    return f"--occlum-wheel-mirrors={list(urls)}"


@pytest.fixture(scope="module")
def image(pants: PantsRunner, mirror: MirrorServer) -> BuiltImage:
    """The image, built where nothing is cached."""
    run = run_recorded(pants, mirrors(f"{mirror.url}/{{name}}"), "package", IMAGE)
    assert sorted(one for one in run.ran if one.startswith("Install ")) == [
        "Install greet-native 2.1",
        "Install greetings 1.0",
    ]
    assert sorted(mirror.asked) == sorted(f"/{name}" for name in small_wheels())
    mirror.asked.clear()
    return built_image(pants, IMAGE)


def test_the_committed_lock_and_digest(pants: PantsRunner, image: BuiltImage) -> None:
    assert Path(SMALL, "wheels.lock").read_bytes() == small_lock()
    assert image.digest == DIGEST


def test_native_modules_have_their_libraries(image: BuiltImage) -> None:
    manifest = json.loads((image.folder / "manifest.json").read_text())
    found = {one["path"]: one.get("provenance", {}) for one in manifest["entries"]}
    wheels = f"{SMALL}:wheels"
    module = f"greet-native-2.1/{SITE}/greet_native/_greet.abi3.so"
    assert found[f"/{SITE}/greet_native/_greet.abi3.so"] == {
        "bom": f"{wheels} (greet-native 2.1)",
        "source": f"{wheels}/{module}",
    }
    inner = found[f"/{SITE}/greet_native.libs/libinner-1f2e.so.1"]
    assert inner["bom"] == f"{wheels} (greet-native 2.1)" and "needed_by" not in inner
    assert "/lib/x86_64-linux-gnu/libgreet.so.1" in found
    assert (image.tree / "usr/bin/greetings").read_text().startswith("#!/usr/bin/python3\n")
    record = (image.tree / SITE / "greetings-1.0.dist-info/RECORD").read_text()
    assert "../../../bin/greetings,sha256=" in record
    assert not list(image.tree.rglob("__pycache__"))


def forget(pants: PantsRunner) -> None:
    """Remove the wheels of this machine, and what it made of them outside of its caches."""
    shutil.rmtree(pants.top / "named_caches/occlum_wheels", ignore_errors=True)
    shutil.rmtree(pants.dist)
    pants.stop_pantsd()


def test_caches_need_no_wheel(pants: PantsRunner, image: BuiltImage, mirror: MirrorServer) -> None:
    before = image.listing()
    forget(pants)
    run = run_recorded(pants, mirrors(f"{mirror.url}/{{name}}"), "package", IMAGE)
    assert (run.ran, mirror.asked, image.listing()) == ([], [], before)
    # Nor does what a mirror is change anything that is cached.
    forget(pants)
    assert run_recorded(pants, mirrors(nobody_listens()), "package", IMAGE).ran == []
    assert image.listing() == before


def test_wheels_of_a_directory_of_the_project(
    pants: PantsRunner, image: BuiltImage, tmp_path: Path
) -> None:
    before = image.listing()
    write_wheels(pants.build_root / "app/wheels")
    forget(pants)
    store = {"PANTS_LOCAL_STORE_DIR": str(tmp_path / "store")}
    option = mirrors("//app/wheels/{name}")
    run = run_recorded(pants, option, "--no-pantsd", "package", IMAGE, env=store)
    assert "Install greetings 1.0" in run.ran
    assert image.listing() == before


def test_what_is_nowhere_is_told(pants: PantsRunner, image: BuiltImage, tmp_path: Path) -> None:
    nobody = nobody_listens()
    forget(pants)
    store = {"PANTS_LOCAL_STORE_DIR": str(tmp_path / "store")}
    stderr = run_recorded(
        pants, mirrors(nobody), "--no-pantsd", "package", IMAGE, env=store, exit_code=1
    ).result.stderr
    assert "1 Exception encountered" in stderr
    assert f"{IMAGE} cannot be built, 2 errors" in stderr
    assert f"{SMALL}:wheels: greetings 1.0 (greetings-1.0-py3-none-any.whl, sha256" in stderr
    assert f"  {nobody}: Connection refused" in stderr
    assert "file://${SMALL_WHEELS}/greetings-1.0-py3-none-any.whl: a path mapping" in stderr
    assert "[occlum].wheel_mirrors" in stderr
    assert "Traceback (most recent call last)" not in stderr
