"""Fixtures: a toolchain of stand-ins, instances made with it, and a key."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from occlum_build.occlum.configure import Settings
from occlum_build.occlum.fresh import make_instance, plan_fresh
from occlum_build.occlum.inputs import BuildRequest
from occlum_build.occlum.signing import KeyFile
from occlum_build.occlum.testing import KEY_TEXT, TESTPROJECTS, load_maker


@pytest.fixture(scope="session")
def maker() -> ModuleType:
    return load_maker()


@pytest.fixture
def toolchain(tmp_path: Path, maker: ModuleType) -> Path:
    """The root of a system with the stand-ins; a test may change it."""
    maker.make_toolchain(tmp_path / "system")
    return tmp_path / "system"


@pytest.fixture
def instance(tmp_path: Path, toolchain: Path) -> Path:
    path = tmp_path / "inst"
    make_instance(path, plan_fresh(toolchain))
    (path / "image/bin/hello").write_text("#!/bin/sh\necho hello\n")
    return path


@pytest.fixture
def image_key(tmp_path: Path) -> Path:
    path = tmp_path / "image-key"
    path.write_text(KEY_TEXT + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def build_request(instance: Path, toolchain: Path) -> BuildRequest:
    """A build of the instance, signed with the vectors' key."""
    key = TESTPROJECTS / "vectors" / "sign" / "test_key.pem"
    return BuildRequest(instance, toolchain, Settings(), KeyFile(key))
