"""Enclaves are the same, byte for byte, whoever builds them, wherever and however."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from built_enclave import (
    TOOLCHAIN,
    built_enclave,
    image_key_file,
    package,
    signing_key_files,
)
from pants_runner import PantsRunner, pants_runner

# The distribution's own, as its standard library has a known place.
PYTHON = Path("/usr/bin/python3")
BOM = """\
excludes: [__pycache__, config-*, dist-packages, ensurepip, idlelib, sitecustomize.py, test]
targets:
- target: /usr/bin
  copy:
  - files: [{{name: /usr/bin/python{version}, rename: python3}}]
- target: /usr/lib
  copy:
  - dirs: [/usr/lib/python{version}]
"""
BUILD = """\
occlum_bom(name="bom", source="bom.yaml")
occlum_image(name="image", boms=[":bom"])
occlum_enclave(name="open", image=":image", toolchain="//testprojects/toolchain")
occlum_enclave(
    name="encrypted", image=":image", toolchain="//testprojects/toolchain", encrypt=True
)
"""
ADDRESSES = ("python:open", "python:encrypted")
FRUGAL = ("--no-pantsd", "--rule-threads-core=3", "--process-execution-local-parallelism=1")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The options that name an image key and a signing key."""
    folder = tmp_path_factory.mktemp("keys")
    image_key, sign_key = image_key_file(folder / "image-key"), signing_key_files(folder)[0]
    return f"--occlum-image-key-file={image_key}", f"--occlum-sign-key-file={sign_key}"


@pytest.fixture(scope="module")
def pants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    with pants_runner(tmp_path_factory.mktemp("pants"), parts=(TOOLCHAIN,)) as runner:
        yield runner


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PantsRunner]:
    """Another checkout, with another home and no cache in common with the first."""
    top = tmp_path_factory.mktemp("another user") / "s"
    with pants_runner(top, parts=(TOOLCHAIN,), options=FRUGAL) as runner:
        yield runner


def test_same_bytes_and_modes(
    pants: PantsRunner, elsewhere: PantsRunner, keys: tuple[str, str]
) -> None:
    version = _python_version()
    for runner in (pants, elsewhere):
        runner.write("python/BUILD", BUILD)
        runner.write("python/bom.yaml", BOM.format(version=version))
    for path in elsewhere.build_root.rglob("*"):
        path.chmod(path.stat().st_mode & ~0o077)

    env = {"LANG": "C", "TZ": "UTC", "PYTHONHASHSEED": "1"}
    with _umask(0o022):
        package(pants, *keys, *ADDRESSES, env=env)
    env = {"LANG": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "2"}
    with _umask(0o077):
        package(elsewhere, *keys, *ADDRESSES, env=env)

    enclaves = [built_enclave(pants, address) for address in ADDRESSES]
    for enclave, address in zip(enclaves, ADDRESSES):
        listing, other = enclave.listing(), built_enclave(elsewhere, address).listing()
        assert [path for path in listing if listing[path] != other.get(path)] == []
        assert listing.keys() == other.keys()
    of_open, of_encrypted = enclaves
    assert of_open.mrenclave != of_encrypted.mrenclave
    manifest = (of_open.folder / "manifest.json").read_text()
    assert '"/usr/bin/python3"' in manifest and f"/usr/lib/python{version}/json/" in manifest


def _python_version() -> str:
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON} on this machine")
    script = "import sysconfig; print(sysconfig.get_python_version())"
    return subprocess.check_output([PYTHON, "-I", "-c", script], text=True).strip()


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
