from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlum_build.cli.testing import Workspace


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
