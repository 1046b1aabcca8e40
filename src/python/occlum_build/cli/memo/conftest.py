from __future__ import annotations

import gc
import os
import posix
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlum_build.cli.memo import looks
from occlum_build.cli.memo.testing import Workspace


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(looks, "_CLOCKS_DIFFER_NS", 0)  # the files are of this machine
    here = os.getcwd()
    yield
    os.chdir(here)
    gc.enable()


@pytest.fixture
def ws(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Workspace:
    workspace = Workspace(tmp_path / "ours", capfd, monkeypatch)
    for name in ("OCCLUM_LOG_LEVEL", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delitem(posix.environ, name.encode(), raising=False)
    workspace.setenv("XDG_CACHE_HOME", str(workspace.cache))
    workspace.setenv("NAME", "named")
    return workspace
