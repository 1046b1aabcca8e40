"""Fixtures of the tests of sefs: the reference's vectors and the trees they were made of."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from occlum_build.sefs.keys import UserKey, read_key_file

VECTORS = Path(__file__).resolve().parents[4] / "testprojects" / "vectors" / "sefs"


@pytest.fixture(scope="session")
def vectors() -> Path:
    return VECTORS


@pytest.fixture(scope="session")
def user_key() -> UserKey:
    return read_key_file(VECTORS / "key.txt", allow_insecure=True)


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The input trees of the vectors, made by the script that made them for the reference."""
    directory = tmp_path_factory.mktemp("trees")
    subprocess.run([sys.executable, str(VECTORS / "mktrees.py"), str(directory)], check=True)
    return directory


@pytest.fixture(scope="session")
def reference_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images that the reference wrote, as directories `<tree>.int` and `<tree>.enc`."""
    directory = tmp_path_factory.mktemp("reference")
    for archive in sorted(VECTORS.glob("*.tar.xz")):
        with tarfile.open(archive) as tar:
            for member in filter(tarfile.TarInfo.isfile, tar):
                path = directory / member.name
                path.parent.mkdir(exist_ok=True)
                content = tar.extractfile(member)
                assert content is not None
                path.write_bytes(content.read())
    return directory
