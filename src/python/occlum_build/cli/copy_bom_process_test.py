"""`copy-bom` into images that cannot be written, and its output as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from occlum_build.cli.main import main
from occlum_build.cli.testing import BOM, DUE, Workspace

# Images that cannot be written


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_image_that_is_a_file(ws: Workspace, options: list[str]) -> None:
    ws.image.write_text("file")
    code, _, err = ws.run(*options)
    assert code == 252
    assert err == f"error: {ws.image} is not a directory\n"
    assert ws.image.read_text() == "file"


def test_image_below_a_file(ws: Workspace) -> None:
    code, _, err = ws.run(root="src/run/image", bom="targets: [{target: /}]")
    assert code == 1
    assert err == f"error: {ws.path}/src/run/image cannot be written: Not a directory\n"


def test_working_directory_that_has_gone(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    ws.bom.write_text(BOM)
    arguments = ["copy-bom", "-f", str(ws.bom), "--root", str(ws.image)]
    assert main([*arguments, "--include-dir", str(ws.path)]) == 0
    assert ws.image_tree() == DUE
    ws.capsys.readouterr()
    assert main([*arguments, "--include-dir", "relative"]) == 1
    assert ws.capsys.readouterr().err.startswith("error: the working directory does not exist")
    ws.bom.unlink()
    assert main(arguments) == 255
    assert ws.capsys.readouterr().err.startswith(f"error: there is no BOM file {ws.bom}")


# As a process


FULL = b"error: standard output: No space left on device\n"


def _process(ws: Workspace, redirect: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    ws.bom.write_text(BOM)
    command = (
        f"exec {sys.executable} -m occlum_build.cli.main copy-bom -f ../bom.yaml --root image"
        f" --json {redirect}"
    )
    return subprocess.run(
        ["bash", "-c", command],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **env},
        capture_output=True,
    )


def test_output_that_nobody_reads(ws: Workspace) -> None:
    done = _process(ws, "| true; exit ${PIPESTATUS[0]}")
    assert done.stderr == b""


@pytest.mark.parametrize("more", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_output_to_a_full_device(ws: Workspace, more: dict[str, str]) -> None:
    done = _process(ws, "> /dev/full", **more)
    assert done.returncode == 1
    assert done.stderr == FULL


def test_help_to_a_full_device(ws: Workspace) -> None:
    done = _process(ws, "--help > /dev/full")
    assert (done.returncode, done.stderr) == (1, FULL)


def test_an_error_is_told_where_the_result_before_it_is_lost(ws: Workspace) -> None:
    (ws.path / "first").mkdir()
    done = _process(ws, "--root first --json -f none.yaml > /dev/full")
    assert done.returncode == 255
    assert b"none.yaml" in done.stderr and done.stderr.count(b"error: ") == 1


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_output_in_any_locale(ws: Workspace, locale: str) -> None:
    (ws.path / "src/conf/\u00fc").write_text("")
    done = _process(ws, "", LC_ALL=locale)
    assert done.stderr == b""
    paths = [entry["path"] for entry in json.loads(done.stdout)["entries"]]
    assert "/app/conf/\u00fc" in paths


def test_locale_that_is_not_utf8(ws: Workspace) -> None:
    done = _process(ws, "", LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: the locale has names of files in ")
    assert not ws.image.exists()


@pytest.mark.parametrize("closed", ["2>&-", "1>&-", "1>&- 2>&-"])
def test_closed_output(ws: Workspace, closed: str) -> None:
    done = _process(ws, closed)
    assert b"Traceback" not in done.stderr
