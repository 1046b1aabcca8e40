"""Fixtures: instances made of stand-ins, once for all tests; who changes one copies it."""

from __future__ import annotations

from pathlib import Path

import pytest

from occlum_build.occlum.testing import KEY_TEXT, load_maker
from occlum_build.verify.testing import built_instance


@pytest.fixture(scope="session")
def toolchain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("system")
    load_maker().make_toolchain(root)
    return root


@pytest.fixture(scope="session")
def image_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "image-key"
    path.write_text(KEY_TEXT + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, toolchain: Path) -> Path:
    return built_instance(tmp_path_factory.mktemp("built") / "app", toolchain)


@pytest.fixture(scope="session")
def encrypted(tmp_path_factory: pytest.TempPathFactory, toolchain: Path, image_key: Path) -> Path:
    path = tmp_path_factory.mktemp("encrypted") / "app"
    return built_instance(path, toolchain, image_key=image_key)
