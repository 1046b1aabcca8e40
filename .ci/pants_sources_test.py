"""The checks against checkouts of Pants, on made-up ones and with a made-up mypy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import pants_sources

VERSIONS = """
from typing import Final
SINCE: Final = {"NATIVE": (2, 23), "MOVED": (2, 28)}
"""
USER = "from pants.engine.fs import Digest, PathGlobs\nPathGlobs(['*'])\n"
# Prints how it was called, and finds an error where the sources have one.
MYPY = """
import os, pathlib, sys
root, *_ = os.environ["MYPYPATH"].split(":")
config = pathlib.Path(sys.argv[1].partition("=")[2]).read_text()
print(*sys.argv[2:], "polyfill" not in config)
sys.exit("broken" in root)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return _written(
        tmp_path / "project",
        {
            ".ci/BUILD": "",
            "rules/pants_occlum/compat/versions.py": VERSIONS,
            "rules/pants_occlum/user.py": USER,
            "mypy.py": MYPY,
        },
    )


@pytest.fixture
def with_mypy(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setenv("PYTHONPATH", str(project))


def _written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _checkout(root: Path, version: str, fs: str) -> str:
    pants = "src/python/pants"
    return str(_written(root, {f"{pants}/VERSION": f"{version}\n", f"{pants}/engine/fs.py": fs}))


def test_the_list_has_what_is_used_in_each_version(project: Path, tmp_path: Path) -> None:
    old = _checkout(tmp_path / "old", "2.33.9", "class PathGlobs:\n def __init__(self, globs): ...")
    new = _checkout(tmp_path / "new", "2.33.10", "class PathGlobs: ...\nclass Digest: ...")

    assert pants_sources.main(["write", f"{new}@22", f"{old}@11"], project) == 0

    written = project / ".ci/pants_api.json"
    assert json.loads(written.read_text()) == {
        "commits": {"2.33.9": "11", "2.33.10": "22"},
        "symbols": {
            "pants.engine.fs.Digest": {"2.33.9": "missing", "2.33.10": "()"},
            "pants.engine.fs.PathGlobs": {"2.33.9": "(globs)", "2.33.10": "()"},
        },
    }


@pytest.mark.usefixtures("with_mypy")
@pytest.mark.parametrize(
    ("version", "line"),
    [
        (
            "2.22.1",
            "Pants 2.22.1, CPython 3.9, no flag: --python-version=3.9 --always-false=MOVED"
            " --always-false=NATIVE --cache-dir=/dev/null --package=pants_occlum True",
        ),
        (
            "2.25.0",
            "Pants 2.25.0, CPython 3.11, NATIVE: --python-version=3.11 --always-false=MOVED"
            " --always-true=NATIVE --no-warn-return-any --cache-dir=/dev/null"
            " --package=pants_occlum False",
        ),
        (
            "2.34.0.dev3",
            "Pants 2.34.0.dev3, CPython 3.14, MOVED, NATIVE: --python-version=3.14"
            " --always-true=MOVED --always-true=NATIVE --cache-dir=/dev/null"
            " --package=pants_occlum False",
        ),
    ],
)
def test_types_are_checked_as_a_version_takes_them(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], version: str, line: str
) -> None:
    assert pants_sources.main(["types", _checkout(tmp_path / "pants", version, "")], project) == 0
    assert capfd.readouterr().out.splitlines() == [line]


@pytest.mark.usefixtures("with_mypy")
def test_wrong_types_in_one_version_are_a_failure(project: Path, tmp_path: Path) -> None:
    good = _checkout(tmp_path / "good", "2.33.0", "")
    broken = _checkout(tmp_path / "broken", "2.31.0", "")

    assert pants_sources.main(["types", broken, good], project) == 1


@pytest.mark.parametrize(
    ("action", "files", "error"),
    [
        ("types", {}, "{pants} is no checkout of Pants: it has no src/python/pants"),
        (
            "types",
            {"src/python/pants/version.py": ""},
            "{pants} has no src/python/pants/VERSION, which tells its version",
        ),
        (
            "write",
            {"src/python/pants/VERSION": "2.33.0"},
            "{pants} is no git clone: give its commit, as DIRECTORY@COMMIT",
        ),
        (
            "types",
            {"src/python/pants/VERSION": "2.16.0"},
            "{pants} is Pants 2.16.0, and nothing before 2.17 is known here",
        ),
        (
            "types",
            {"src/python/pants/VERSION": "unknown"},
            "{pants}/src/python/pants/VERSION is no version: unknown",
        ),
    ],
)
def test_wrong_checkouts_get_one_line(
    project: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    action: str,
    files: dict[str, str],
    error: str,
) -> None:
    pants = tmp_path / "pants"
    _written(pants, files)

    assert pants_sources.main([action, str(pants)], project) == 2
    assert capsys.readouterr().err == f"error: {error.format(pants=pants)}\n"


def test_no_mypy_gets_one_line(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sys.executable", "/venv/bin/python")

    assert pants_sources.main(["types", _checkout(tmp_path, "2.33.0", "")], project) == 2
    assert capsys.readouterr().err == (
        "error: there is no mypy in the environment of /venv/bin/python: install it\n"
    )
