"""Tools of this machine for integration tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

SYSTEM_PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def tool(name: str) -> str:
    """The path of a tool; skips the test where there is none."""
    found = shutil.which(name, path=SYSTEM_PATH)
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return found


def run_tool(*argv: str) -> str:
    """Run a tool to its end; what it printed. Raises CalledProcessError if it fails."""
    argv = (tool(argv[0]), *argv[1:])
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout


def wait_for_file(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a file is there that the process makes."""
    end = time.monotonic() + 30
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if not path.exists():
        process.kill()
        raise AssertionError(f"{path} did not appear: {process.communicate()[0]}")
