from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from occlum_build.run.folder import run_folder
from occlum_build.run.inside import run_program
from occlum_build.run.signals_test import check_all_have_ended, read_to, start
from occlum_build.run.spec import SCRATCH, Program, RootSpec
from occlum_build.run.testing import SECONDS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_run_left_is_removed_by_the_next(image: Path, folder: Path) -> None:
    process = start(image, "echo ready; sleep 600; true", tmp=str(folder))
    try:
        assert read_to(process, "\n") == "ready\n"
    finally:
        process.kill()
    check_all_have_ended(process)
    process.communicate(timeout=SECONDS)
    (left,) = os.listdir(folder)
    assert left.startswith("occlum-run-")
    assert run_program(RootSpec(str(image), access=SCRATCH), Program(("/bin/ls", "/"))) == 0
    assert os.listdir(folder) == []


def test_what_others_use_stays(folder: Path) -> None:
    (folder / "occlum-run-new").mkdir()  # not locked yet
    (folder / "occlum-run-link").symlink_to(folder / "other")
    (folder / "other").mkdir()
    (folder / "other/kept").write_text("")
    with run_folder() as first:
        Path(first, "kept").write_text("")
        with run_folder() as second:
            assert os.listdir(first) == ["kept"]
        assert not os.path.exists(second)
    assert sorted(os.listdir(folder)) == ["occlum-run-link", "occlum-run-new", "other"]
    assert os.listdir(folder / "other") == ["kept"]
