"""For tests that trace programs of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def need(*paths: str) -> None:
    """Skip a test where this machine lacks what it traces, or the tool."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace on this machine")
    for path in paths:
        if not Path(path).exists():
            pytest.skip(f"there is no {path} on this machine")
