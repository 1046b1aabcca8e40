from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from occlum_build.cli.testing import Workspace

if TYPE_CHECKING:
    from occlum_build.cli.testing_packages import PackagesWorkspace


@pytest.fixture
def ws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path, capsys)
    monkeypatch.chdir(workspace.path)
    for name in ("OCCLUM_LOG_LEVEL", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    before = os.umask(0o022)
    yield workspace
    os.umask(before)


@pytest.fixture
def packages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[PackagesWorkspace]:
    pytest.importorskip("pysequoia")
    from occlum_build.cli.testing_packages import PackagesWorkspace

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    before = os.umask(0o022)
    yield PackagesWorkspace(tmp_path, capsys)
    os.umask(before)
