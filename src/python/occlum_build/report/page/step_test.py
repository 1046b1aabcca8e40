from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from occlum_build.errors import Problem
from occlum_build.report.page.document import document
from occlum_build.report.page.html import page, template
from occlum_build.report.page.step import input_json
from occlum_build.report.testing import Made

MODULE = "occlum_build.report.page.step"


def run(*arguments: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", MODULE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_it_makes_the_page_of_an_image(tmp_path: Path) -> None:
    made = Made()
    folder, given, out = made.write(tmp_path / "image"), tmp_path / "input", tmp_path / "out"
    problems = [Problem("x", "wrong", severity="warning")]
    given.write_bytes(input_json("app:image", problems))
    (tmp_path / "page").write_bytes(template())
    assert run(folder, given, tmp_path / "page", out).returncode == 0
    expected = document(made.image, name="app:image", problems=problems)
    assert out.read_bytes() == page(expected, template())

    (folder / "manifest.json").write_text("{}")
    found = run(folder, given, tmp_path / "page", tmp_path / "none")
    assert found.returncode == 1 and "manifest.json: " in found.stderr
    assert not (tmp_path / "none").exists()
    assert run(folder).returncode == 2
